"""The robots.txt, tdmrep.json and licences of image servers, each asked for once in some hours."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, fields
from urllib.parse import urlsplit

from urllib3.response import HTTPResponse

from kaption.schemas import OptOutSignal
from kaption.schemas.opt_outs.directives import product_token, reservation_signals, signal
from kaption.schemas.opt_outs.robots_txt import KINDS, ROBOTS_TXT_PATH, RobotsTxt, text_of
from kaption.schemas.opt_outs.rsl import RSL, RSL_UNREAD, Rsl, unread_signals
from kaption.schemas.opt_outs.tdm_rep import TDM_REP_PATH, TdmRep
from kaption.workers.fetch.body import plain_body
from kaption.workers.fetch.failure import FetchFailure
from kaption.workers.fetch.request import REDIRECTS, Body, Moved, Requester, first, retry_after
from kaption.workers.fetch.servers import LONGEST_REST_S, Servers
from kaption.workers.fetch.target import Target, read_target
from kaption.workers.runtime.stage import Later, Reject, abroad

UNREACHABLE = "robots_txt_unreachable"
"""The kind of a signal that comes of a robots.txt that the server failed to give."""
TDM_RESERVATION = "tdm_reservation"
FILE_BYTES = 512 * 1024
"""Most bytes of a file that are read; RFC 9309 asks for 500 KiB at least. The rest is ignored."""
TOTAL_S = 5.0
"""Time for both files of a site, with redirects."""
PAUSE_S = 5.0
"""Until the second request to a server that failed to give a file. It may ask for more."""
KEEP_S = 6 * 3600.0
"""RFC 9309 allows 24 hours at most."""
KEEP_FAILURE_S = 300.0
MAX_SITES = 10_000
MAX_BYTES = 64 * 1024 * 1024
"""The most memory for the rules of all sites. The site unused for longest is forgotten first."""
_RULE_BYTES = 300
"""Memory that a rule takes besides its text."""
MAX_REDIRECTS = 5
_SERVER_BUSY = 429


@dataclass(frozen=True, slots=True)
class _File(Body):
    """An answer of any status. Its body may be empty, and is cut at `FILE_BYTES`."""

    status: int
    after_s: float
    """Retry-After in seconds."""


class _FileRequester(Requester):
    """Takes every answer that is no redirect. The checks of addresses are those of images."""

    __slots__ = ()

    def _answer(
        self, target: Target, response: HTTPResponse, put_off: Callable[[], None]
    ) -> Body | Moved:
        if response.status in REDIRECTS and (location := first(response, "Location")):
            return Moved(location)
        raw = b""
        # The read after the last byte raises where more was announced.
        while len(raw) < FILE_BYTES and (
            part := response.read(FILE_BYTES - len(raw), decode_content=False)
        ):
            raw += part
        data = plain_body(raw, response.headers.get("Content-Encoding", ""), FILE_BYTES)
        return _File(data[:FILE_BYTES], (), response.status, retry_after(response) or 0.0)


@dataclass(frozen=True, slots=True)
class _Site:
    robots: RobotsTxt
    failure: str | None
    """Why the site's robots.txt is not known."""
    tdm_rep: TdmRep
    pause_s: float | None = None
    """The server failed for the first time: it is asked again after this time."""
    licence: Rsl | None = None
    """Of a licence, which has an entry of its own: many sites name one of a third server."""

    @property
    def size(self) -> int:
        """Bytes in memory, roughly."""
        texts = [*self.robots.licences, *(rule.line for rule in self.robots.rules)]
        texts += [rule.location for rule in self.tdm_rep.rules]
        texts += [f"{each.location}{each.refused}" for each in getattr(self.licence, "terms", ())]
        return sum(_RULE_BYTES + 2 * len(text) for text in texts)


class SiteRules:
    """What sites say in their own files about the use of an address. Any thread may ask.

    A status from 400 to 499 means that a site has no robots.txt, and everything is allowed. If the
    server fails, or answers 429, nobody knows its rules: RFC 9309 demands to assume that it forbids
    everything. A server is therefore asked again before that counts. The failure has a kind of its
    own, `UNREACHABLE`, and after some minutes the server is asked anew. A tdmrep.json that is
    missing, unreachable or without any rule reserves nothing.

    A licence of RSL that a robots.txt names is asked for in the same way. One that the server does
    not give, or that is broken, gives a signal of the kind `RSL_UNREAD`.

    The memory is of this process: two small requests in six hours for each server and worker are
    not worth a shared one.
    """

    def __init__(
        self, requester: Requester, servers: Servers, *, clock: Callable[[], float]
    ) -> None:
        own = {field.name: getattr(requester, field.name) for field in fields(requester)}
        self._requester = _FileRequester(**own)
        self._servers = servers
        self._clock = clock
        self._agent = product_token(requester.policy.user_agent)
        self._lock = threading.Lock()
        # When each entry expires, its size, and the answer to come.
        self._sites: OrderedDict[str, tuple[float, int, Future[_Site]]] = OrderedDict()

    def signals(
        self, url: str, ignored: Collection[str] = (), *, ask: bool = True
    ) -> tuple[OptOutSignal, ...]:
        """The signals for a URL that was fetched, besides those of the kinds in `ignored`.

        Without `ask`, only what is known already counts, and no request is sent, save the second
        one to a server that failed. Raises Reject on a URL that cannot be fetched, and Later before
        a second request.
        """
        if {*KINDS, UNREACHABLE, TDM_RESERVATION, RSL, RSL_UNREAD} <= set(ignored):
            return ()
        url = read_target(url).url
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        site = self._site(origin, ask)
        if site is None:
            return ()
        if site.pause_s is not None:
            raise Later(f"{origin}: {site.failure or 'its files are not known'}", site.pause_s)
        robots, tdm_rep = origin + ROBOTS_TXT_PATH, origin + TDM_REP_PATH
        found = [
            *site.robots.signals(url, robots),
            *reservation_signals(site.tdm_rep.reservation(url), tdm_rep),
        ]
        if site.failure is not None:
            found.append(signal(UNREACHABLE, site.failure, robots))
        found += self.licence_signals(site.robots.licences, url, robots, ignored, ask=ask)
        return tuple(each for each in found if each.kind not in ignored)

    def licence_signals(
        self,
        licences: Collection[str],
        url: str,
        place: str,
        ignored: Collection[str] = (),
        *,
        ask: bool = True,
    ) -> list[OptOutSignal]:
        """The signals for a URL of RSL licences that are named at a place, as `signals` gives them.

        An address of a licence may be relative to the place.
        """
        found: list[OptOutSignal] = []
        if {RSL, RSL_UNREAD} <= set(ignored):
            return found
        for each in licences:
            try:
                address = read_target(place).join(each)
                known = self._site(address, ask)
            except Reject:  # no address of the web
                found += unread_signals([each], place)
                continue
            if known is None:
                continue
            if known.pause_s is not None:
                raise Later(f"{address}: {known.failure}", known.pause_s)
            if known.failure is not None:
                found += unread_signals([f"{address}: {known.failure}"], place)
            elif known.licence and (refused := known.licence.refusal(url)):
                found.append(signal(RSL, refused, address))
        return [each for each in found if each.kind not in ignored]

    def _site(self, origin: str, ask: bool) -> _Site | None:
        """What is known of a site, or of a licence by its address."""
        with self._lock:
            expires, _, answer = self._sites.get(origin, (0.0, 0, Future()))
            known = expires > self._clock()
            failed = not known and answer.done() and answer.result().pause_s is not None
            if not (ask or failed or (known and answer.done())):
                return None
            if not known:
                answer = Future()
                self._sites[origin] = (self._clock() + KEEP_S, 0, answer)
            self._sites.move_to_end(origin)
        if not known:
            self._ask(origin, answer, last=failed)
        with abroad():
            return answer.result()

    def _ask(self, origin: str, answer: Future[_Site], *, last: bool) -> None:
        """Ask the site. The threads that wait for `answer` meanwhile get the same one."""
        try:
            site = self._load(origin, last=last)
        except BaseException as error:
            with self._lock:
                self._sites.pop(origin, None)
            answer.set_exception(error)
            raise
        answer.set_result(site)
        keep = site.pause_s or (KEEP_S if site.failure is None else KEEP_FAILURE_S)
        with self._lock:
            self._sites[origin] = (self._clock() + keep, site.size, answer)
            total = sum(size for _, size, _ in self._sites.values())
            while len(self._sites) > 1 and (len(self._sites) > MAX_SITES or total > MAX_BYTES):
                _, (_, size, _) = self._sites.popitem(last=False)
                total -= size

    def _load(self, origin: str, *, last: bool) -> _Site:
        deadline = time.monotonic() + min(TOTAL_S, self._requester.policy.total_timeout_s)
        if urlsplit(origin).path:
            return self._load_licence(origin, deadline, last=last)
        text, failure, pause_s = self._get(origin + ROBOTS_TXT_PATH, deadline)
        reserved, _, again_s = self._get(origin + TDM_REP_PATH, deadline)
        tdm_rep = TdmRep(())
        with suppress(ValueError):
            tdm_rep = TdmRep.parse(reserved)
        robots = RobotsTxt(text_of(text), self._agent)
        pauses = [each for each in (pause_s, again_s) if each is not None and not last]
        return _Site(robots, failure, tdm_rep, max(pauses, default=None))

    def _load_licence(self, url: str, deadline: float, *, last: bool) -> _Site:
        text, failure, pause_s = self._get(url, deadline)
        licence = None
        try:
            licence = Rsl.parse(text)
        except ValueError as error:
            failure = str(error)
        # A server has no robots.txt where it answers 404. It has the licence that it names.
        failure = failure or (None if text else "the server does not give it")
        nothing = RobotsTxt("", self._agent), failure, TdmRep(())
        return _Site(*nothing, None if last else pause_s, licence)

    def _get(self, url: str, deadline: float) -> tuple[bytes, str | None, float | None]:
        """The file, empty if there is none; why it is not known; when it may be known, in seconds.

        A server that rests counts as one that failed. To raise Later would forget what the other
        file told. Where a server gives images and never its robots.txt, its second silence begins
        the rest, and each record of it would begin anew for ever.
        """
        try:
            file = self._follow(url, deadline)
        except Later as later:
            return b"", str(later), max(PAUSE_S, later.after_s)
        except Reject as reject:
            return b"", str(reject), None
        except FetchFailure as failure:
            return b"", str(failure), PAUSE_S
        if file.status < 500 and file.status != _SERVER_BUSY:
            return file.data if file.status < 300 else b"", None, None
        pause_s = max(PAUSE_S, file.after_s) if file.after_s <= LONGEST_REST_S else None
        return b"", f"the server answered {file.status}", pause_s

    def _follow(self, url: str, deadline: float) -> _File:
        for _ in range(MAX_REDIRECTS + 1):
            target = read_target(url)
            with self._servers.request(target.server):
                answer = self._requester.get(target, deadline)
            if isinstance(answer, _File):
                return answer
            assert isinstance(answer, Moved)  # _FileRequester makes nothing else
            url = target.join(answer.location)
        # RFC 9309: after five redirects a crawler may assume that there is no file.
        return _File(b"", (), 404, 0.0)
