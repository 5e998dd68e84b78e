"""Getting an image from a URL nobody vouches for."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from kaption.schemas import Reason
from kaption.workers.fetch.addresses import AddressRules
from kaption.workers.fetch.failure import TransientError
from kaption.workers.fetch.hosts import HostSlots
from kaption.workers.fetch.request import Body, Requester
from kaption.workers.fetch.resolver import LookUp, Resolver, system_look_up
from kaption.workers.fetch.target import read_target
from kaption.workers.fetch.watchdog import Watchdog
from kaption.workers.policy import FetchPolicy
from kaption.workers.runtime.stage import Reject

FIRST_BACKOFF_S = 0.5
"""Doubled with each attempt, times a random factor of 0.5 to 1.5."""
MAX_RETRY_AFTER_S = 30.0
"""A thread that waits fetches nothing else: a server that asks for more is given up."""
MAX_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class Fetched:
    """A body, after any content encoding was removed."""

    data: bytes
    final_url: str
    """After redirects, normalised (IDNA, percent-encoding), without fragment."""
    media_type: str
    """What the server claims, lower case and without parameters; may be empty or wrong."""


class Fetcher:
    """Fetches URLs over http and https; thread-safe, blocking, no proxies, no cookies.

    Each host name is resolved once, every address it has is checked, and the connection goes to an
    address that was checked; the same again for each redirect.
    """

    def __init__(
        self,
        policy: FetchPolicy,
        *,
        ssl_context: ssl.SSLContext | None = None,
        look_up: LookUp = system_look_up,
        sleep: Callable[[float], None] = time.sleep,
        random_: random.Random | None = None,
    ) -> None:
        self._policy = policy
        self._watchdog = Watchdog()
        self._hosts = HostSlots(policy.per_host)
        self._sleep = sleep
        self._random = random_ or random.Random()  # noqa: S311 # spreads retries, protects nothing
        self._requester = Requester(
            policy,
            AddressRules(policy.allow_networks),
            Resolver(look_up),
            self._watchdog,
            ssl_context or ssl.create_default_context(),
        )

    def fetch(self, url: str) -> Fetched:
        """Get one body, trying again after transient failures.

        A server that asks to wait longer than MAX_RETRY_AFTER_S is not asked again.
        Raises Reject: fetch_denied (scheme, user info, an address of a denied network),
        fetch_timeout, fetch_status, too_large, or fetch_failed (everything else), with a detail
        that names host and status. Nothing else is raised.
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
        raise Reject(
            last.reject.reason, f"{last.reject.detail} ({self._policy.attempts} attempts)"
        ) from last

    def close(self) -> None:
        """End connections under way (their fetches are rejected) and the watching thread."""
        self._watchdog.close()

    def _attempt(self, url: str) -> Fetched:
        """Follow redirects to a body. Raises Reject and TransientError."""
        left = self._policy.total_timeout_s
        for _ in range(MAX_REDIRECTS + 1):
            target = read_target(url)
            with self._hosts.slot(target.host):
                # Waiting for a free place at a busy host is our own doing: it costs no time.
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
