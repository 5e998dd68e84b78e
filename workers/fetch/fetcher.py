"""Fetches an image from an untrusted URL."""

from __future__ import annotations

import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kaption.schemas import Reason
from kaption.workers.fetch.addresses import AddressRules
from kaption.workers.fetch.failure import TransientError
from kaption.workers.fetch.request import Body, Requester
from kaption.workers.fetch.resolver import LookUp, Resolver, system_look_up
from kaption.workers.fetch.target import read_target
from kaption.workers.fetch.watchdog import Watchdog
from kaption.workers.policy import FetchPolicy
from kaption.workers.runtime.stage import Reject

FIRST_BACKOFF_S = 0.5
"""Seconds before the second attempt. Each further wait is twice as long. A random factor from 0.5
to 1.5 spreads the attempts."""
MAX_RETRY_AFTER_S = 30.0
"""A server that asks for a longer wait is not asked again: a thread that waits fetches nothing."""
MAX_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class Fetched:
    """The body of a successful answer."""

    data: bytes
    """Without content encoding."""
    final_url: str
    """The URL after redirects, normalised (IDNA, percent-encoding), without fragment."""
    media_type: str
    """The server's claim in lower case without parameters. It may be empty or wrong."""


class HostSlots:
    """Counts the connections of each host. A host without connections takes no memory."""

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._busy: Counter[str] = Counter()
        self._freed = threading.Condition()

    @contextmanager
    def slot(self, host: str) -> Iterator[None]:
        """Wait for a free slot of `host` and hold it."""
        with self._freed:
            self._freed.wait_for(lambda: self._busy[host] < self._per_host)
            self._busy[host] += 1
        try:
            yield
        finally:
            with self._freed:
                self._busy[host] -= 1
                if not self._busy[host]:
                    del self._busy[host]
                self._freed.notify_all()


class Fetcher:
    """Fetches http and https URLs, without proxies and cookies. Any thread may call `fetch`.

    For the URL and for each redirect the fetcher resolves the host name once, checks every address
    of the host, and connects to one of the checked addresses.
    """

    def __init__(
        self,
        policy: FetchPolicy,
        *,
        ssl_context: ssl.SSLContext | None = None,
        look_up: LookUp = system_look_up,
        sleep: Callable[[float], object] | None = None,
        random_: random.Random | None = None,
    ) -> None:
        self._policy = policy
        self._watchdog = Watchdog()
        self._hosts = HostSlots(policy.per_host)
        self._closed = threading.Event()
        self._sleep = sleep or self._closed.wait
        self._random = random_ or random.Random()  # noqa: S311 # spreads retries, protects nothing
        self._requester = Requester(
            policy,
            AddressRules(policy.allow_networks),
            Resolver(look_up),
            self._watchdog,
            ssl_context or ssl.create_default_context(),
        )

    def fetch(self, url: str) -> Fetched:
        """Fetch one body. Transient errors are tried again, up to the policy's attempts.

        A server whose Retry-After is longer than MAX_RETRY_AFTER_S is not asked again.

        Raises only Reject: fetch_denied (scheme, user name in the URL, denied address),
        fetch_timeout, fetch_status, too_large, or fetch_failed for everything else. Its detail
        names host and status.
        """
        for attempt in range(self._policy.attempts):
            try:
                return self._attempt(url)
            except TransientError as failure:
                last = failure
            wait = FIRST_BACKOFF_S * 2**attempt * self._random.uniform(0.5, 1.5)
            if last.after_s is not None:
                if last.after_s > MAX_RETRY_AFTER_S:
                    raise Reject(
                        last.reject.reason,
                        f"{last.reject.detail} and asks to wait {last.after_s:.0f} s",
                    ) from last
                wait = max(wait, last.after_s)
            if attempt + 1 < self._policy.attempts:
                self._sleep(wait)
                if self._closed.is_set():
                    break
        raise Reject(last.reject.reason, f"{last.reject.detail} ({attempt + 1} attempts)") from last

    def close(self) -> None:
        """End the watchdog's thread, all open connections and all waits before another attempt.

        Their fetches raise Reject.
        """
        self._closed.set()
        self._watchdog.close()

    def _attempt(self, url: str) -> Fetched:
        """Follow redirects until there is a body. Raises Reject and TransientError."""
        left = self._policy.total_timeout_s
        for _ in range(MAX_REDIRECTS + 1):
            target = read_target(url)
            with self._hosts.slot(target.host):
                # The wait for a free slot does not count: we limit the host, it is not slow.
                started = time.monotonic()
                answer = self._requester.get(target, started + left)
                left -= time.monotonic() - started
            if isinstance(answer, Body):
                return Fetched(answer.data, target.url, answer.media_type)
            url = target.join(answer.location)
        raise Reject(
            Reason.FETCH_FAILED,
            f"more than {MAX_REDIRECTS} redirects, last to {target.host}",
        )
