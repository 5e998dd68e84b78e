"""Fetches an image from an untrusted URL."""

from __future__ import annotations

import random
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from kaption.schemas import Reason
from kaption.workers.fetch.addresses import AddressRules
from kaption.workers.fetch.cookies import Cookies
from kaption.workers.fetch.dialer import CONNECT_TIMEOUT_S, Dialer
from kaption.workers.fetch.failure import FetchFailure
from kaption.workers.fetch.nat64 import Translators
from kaption.workers.fetch.request import Body, Moved, Requester
from kaption.workers.fetch.resolver import LookUp, Resolver, system_look_up
from kaption.workers.fetch.servers import LONGEST_REST_S, Servers
from kaption.workers.fetch.shared import Shared
from kaption.workers.fetch.site_rules import SiteRules
from kaption.workers.fetch.target import Target, read_target
from kaption.workers.fetch.watchdog import Watchdog
from kaption.workers.policy.ingest import FetchPolicy
from kaption.workers.runtime.stage import Later, Reject

FIRST_BACKOFF_S = 0.5
"""Seconds before the second attempt. Each further wait is twice as long. A random factor from 0.5
to 1.5 spreads the attempts."""
MAX_REDIRECTS = 5
URLS_TRIED = 10_000
"""URLs whose attempts are remembered between two of them."""


Redirect = tuple[str, tuple[tuple[str, str], ...]]
"""Its URL and its headers."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The body of a successful answer."""

    data: bytes
    """The body without its content encoding."""
    final_url: str
    """The URL after redirects, normalised (IDNA, percent-encoding), without fragment."""
    headers: tuple[tuple[str, str], ...] = ()
    """The headers of this answer, not of the redirects before it. Names are in lower case."""
    redirects: tuple[Redirect, ...] = ()
    """The URL and the headers of each redirect that led here."""


@dataclass(slots=True)
class _Tries:
    """What was spent on a URL that failed and is to be asked again."""

    number: int = 0
    seconds: float = 0.0
    lanes: set[str] = field(default_factory=set)
    """The lanes that it waited in already; see `Shared` and `Servers.request`."""
    reached: tuple[str, tuple[Redirect, ...]] | None = None
    """The address that redirects led to, and the redirects, when it had to wait in another lane."""
    cookies: Cookies = field(default_factory=Cookies)
    """Cookies that these redirects set. Some servers redirect without end until they get theirs."""


class Fetcher:
    """Fetches http and https URLs, without proxies. Any thread may call `fetch`.

    For the URL and for each redirect the fetcher resolves the host name once, checks every address
    of the host, and connects to one of the checked addresses. Cookies of redirects are sent as
    browsers do, and forgotten with the image. A server that keeps failing is not asked for some
    minutes, see `Health`.
    """

    def __init__(
        self,
        policy: FetchPolicy,
        *,
        ssl_context: ssl.SSLContext | None = None,
        look_up: LookUp = system_look_up,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` says when a server is asked again, in seconds."""
        self._policy = policy
        self._watchdog = Watchdog()
        self._servers = Servers(policy.per_host, clock)
        self._random = random.Random()  # noqa: S311 # spreads retries, protects nothing
        self._tries: OrderedDict[str, _Tries] = OrderedDict()
        self._lock = threading.Lock()
        resolver = Resolver(look_up)
        dialer = Dialer(
            AddressRules(policy.allow_networks),
            resolver,
            Translators(
                lambda name: [one.address for one in resolver.resolve(name, 80, CONNECT_TIMEOUT_S)]
            ),
            Shared(clock),
        )
        self._requester = Requester(
            policy, dialer, self._watchdog, ssl_context or ssl.create_default_context()
        )
        self.sites = SiteRules(self._requester, self._servers, clock=clock)
        """What the sites of images say in files of their own."""

    def fetch(self, url: str, page_url: str | None = None) -> Fetched:
        """Fetch one body, in one attempt.

        `page_url` is the page with the image, which the Referer header may name.

        Raises Reject: fetch_denied (scheme, user name in the URL, denied address), fetch_timeout,
        fetch_status, too_large, or fetch_failed for everything else. Its detail names host and
        status. Raises Later if another attempt may succeed: call it again then with the same URL.
        """
        with self._lock:
            tries = self._tries.setdefault(url, _Tries())
            if len(self._tries) > URLS_TRIED:
                self._tries.popitem(last=False)
        final = True
        try:
            return self._follow(url, page_url, tries)
        except Later:
            final = False
            raise
        except FetchFailure as failure:
            tries.number += 1
            reject, after_s = failure.reject, failure.after_s or 0.0
            if after_s > LONGEST_REST_S:
                detail = f"{reject.detail} and asks to wait {after_s:.0f} s"
                raise Reject(reject.reason, detail) from failure
            spent = tries.number >= self._policy.attempts or self._left(tries) <= 0
            if spent or not failure.again:
                detail = f"{reject.detail} ({tries.number} attempts)"
                raise Reject(reject.reason, detail) from failure
            final = False
            tries.reached = None  # the next attempt begins anew
            backoff = FIRST_BACKOFF_S * 2 ** (tries.number - 1) * self._random.uniform(0.5, 1.5)
            raise Later(str(reject), max(backoff, after_s)) from failure
        finally:
            if final:
                with self._lock:
                    self._tries.pop(url, None)

    def close(self) -> None:
        """End the watchdog's thread and all open connections. Their fetches raise Reject."""
        self._watchdog.close()

    def _follow(self, url: str, page_url: str | None, tries: _Tries) -> Fetched:
        """Follow redirects until there is a body. Raises Reject, FetchFailure and Later."""
        page = page_url if self._policy.send_referer else None
        if tries.reached is None:
            tries.cookies = Cookies()
        url, redirects = tries.reached or (url, ())
        while len(redirects) <= MAX_REDIRECTS:
            target = read_target(url)
            tries.reached = (url, redirects)
            # The first server's lane is the record's own.
            with self._servers.request(target.server, tries.lanes if redirects else None) as tried:
                answer = self._ask(target, page, tries)
                tried.moved = isinstance(answer, Moved)
            if isinstance(answer, Body):
                return Fetched(answer.data, target.url, answer.headers, redirects)
            tries.cookies.take(target, answer.headers)
            redirects = (*redirects, (target.url, answer.headers))
            url = target.join(answer.location)
        raise Reject(
            Reason.FETCH_FAILED, f"more than {MAX_REDIRECTS} redirects, last to {target.host}"
        )

    def _ask(self, target: Target, page: str | None, tries: _Tries) -> Body | Moved:
        # The wait for a free slot does not count: we limit the server, it is not slow.
        began = time.monotonic()
        try:
            return self._requester.get(
                target,
                began + self._left(tries),
                target.referer(page) if page else None,
                tries.lanes,
                tries.cookies.header(target),
            )
        finally:
            tries.seconds += time.monotonic() - began

    def _left(self, tries: _Tries) -> float:
        return self._policy.total_timeout_s - tries.seconds
