"""What the fetcher knows of each web server: its open connections, and whether it answers.

A server is a host and a port.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from kaption.schemas import Reason
from kaption.workers.fetch.failure import FetchFailure
from kaption.workers.runtime.stage import Later, Reject, abroad

REFUSED_S = 300.0
"""Seconds for which a server that keeps failing is not asked. One request is made after them."""
LONGEST_REST_S = 30.0
"""A server that asks for a longer wait (Retry-After) is refused: its records would hold up the
commits of their partitions."""
SECOND_CHANCE_S = 10.0
"""Seconds for which a server rests that answered and then stopped, before it may be refused. Such a
server, the network or this machine may have stood still for a moment. The requests under way end
meanwhile (`FetchPolicy.answer_timeout_s`), and their failures tell nothing new."""
FIRST_TRIES = 3
"""Tries at once at what has not answered yet."""
REMEMBERED = 10_000
"""Servers with failures that are remembered, about 1 kB each, and as many that answered. The oldest
is forgotten first."""

_LIMIT = 12
# Three times no answer, or twelve times a dropped connection or an answer such as 503, and no other
# answer in between. A server that says 503 is there, and may have only a few broken files.
_SILENT, _BUSY = 4, 1
_SLOW_S = 3.0
"""A refusal or a redirect that takes longer counts as a busy answer. A server that says 404 to a
thousand images after nine seconds each holds up as much as a silent one."""


@dataclass(slots=True)
class Tried:
    """What came of a request."""

    moved: bool = False


@dataclass(slots=True)
class _Trouble:
    points: int = 0
    times: int = 0
    refused_until: float = 0.0
    rests_until: float = 0.0
    had_second_chance: bool = False
    last: FetchFailure | None = None
    hosts: set[str] = field(default_factory=set)


class Health:
    """Remembers the servers that answer and those that fail. Any thread may call it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._troubled: OrderedDict[str, _Trouble] = OrderedDict()
        self._answered: OrderedDict[str, None] = OrderedDict()

    def check(self, server: str) -> None:
        """Call it before a request.

        Raises Reject while the server is refused, and Later while it rests. After a refusal one
        call passes, as a test. The others are refused until its outcome is known.
        """
        with self._lock:
            trouble = self._troubled.get(server)
            if trouble is None or trouble.last is None:
                return
            now = self._clock()
            if now < trouble.refused_until:
                raise _refusal(trouble, trouble.last, trouble.refused_until - now)
            if now < trouble.rests_until:
                raise Later(str(trouble.last.reject), trouble.rests_until - now)
            if trouble.points >= _LIMIT:
                trouble.refused_until = now + REFUSED_S

    def answers(self, server: str) -> bool:
        """Whether the last request got an answer."""
        with self._lock:
            return server in self._answered and server not in self._troubled

    def answered(self, server: str) -> None:
        """The server answered: forget its failures."""
        with self._lock:
            self._troubled.pop(server, None)
            self._answered[server] = None
            self._answered.move_to_end(server)
            if len(self._answered) > REMEMBERED:
                self._answered.popitem(last=False)

    def failed(self, server: str, failure: FetchFailure, host: str | None = None) -> None:
        """Count a failure. With `host`, only the first one of each host counts."""
        with self._lock:
            trouble = self._troubled.setdefault(server, _Trouble())
            if host is not None and trouble.points < _LIMIT:
                if host in trouble.hosts:
                    return
                trouble.hosts.add(host)
            self._troubled.move_to_end(server)
            now, after_s = self._clock(), failure.after_s or 0.0
            if trouble.had_second_chance and now < trouble.rests_until:
                return
            # What may succeed at once is tried again, so one URL may fail so several times.
            trouble.points += _SILENT if failure.silent and not failure.again else _BUSY
            trouble.times += 1
            trouble.last = failure
            if trouble.points >= _LIMIT and server in self._answered:
                del self._answered[server]
                trouble.had_second_chance = True
                trouble.points = _LIMIT - _SILENT
                trouble.hosts.clear()
                after_s = max(after_s, SECOND_CHANCE_S)
            if trouble.points >= _LIMIT or after_s > LONGEST_REST_S:
                trouble.refused_until = now + min(max(after_s, REFUSED_S), 2 * REFUSED_S)
            else:
                trouble.rests_until = max(trouble.rests_until, now + after_s)
            if len(self._troubled) > REMEMBERED:
                self._troubled.popitem(last=False)


def _refusal(trouble: _Trouble, failure: FetchFailure, left_s: float) -> Reject:
    until = datetime.now(UTC) + timedelta(seconds=left_s)
    why = "asked to wait" if trouble.points < _LIMIT else f"failed {trouble.times} times in a row"
    return Reject(
        failure.reject.reason,
        f"{failure.reject.detail}; it {why} and is not asked until {until:%H:%M:%S} UTC",
    )


class Servers:
    """Lets few requests at once go to each server, and none to one that keeps failing.

    A server without connections takes no memory.
    """

    def __init__(self, per_server: int, clock: Callable[[], float]) -> None:
        self._per_server = per_server
        self._health = Health(clock)
        self._busy: Counter[str] = Counter()
        self._freed = threading.Condition()

    @contextmanager
    def request(self, server: str, lanes: set[str] | None = None) -> Iterator[Tried]:
        """Around one request: wait for a free connection of `server`, and note its outcome.

        `lanes` are those that a redirected record came through. Raises as `Health.check`, and Later
        if enough others try this server for the first time: the record then waits in its lane, and
        gives its place at the server that redirects to another record.
        """
        with self._freed:
            first = self._busy[server] >= FIRST_TRIES and not self._health.answers(server)
            if first and lanes is not None and server not in lanes:
                lanes.add(server)
                raise Later(f"{server} is tried for the first time", 0.0, server)
        with abroad(), self._slot(server):
            self._health.check(server)
            tried, began = Tried(), time.monotonic()
            try:
                yield tried
            except FetchFailure as failure:
                self._health.failed(server, failure)
                raise
            except Reject as reject:
                self._note(server, began, reject)
                raise
            moved = Reject(Reason.FETCH_TIMEOUT, f"{server} redirects slowly")
            self._note(server, began, moved if tried.moved else None)

    def _note(self, server: str, began: float, reject: Reject | None) -> None:
        """Note an answer. `reject` tells why it is no image."""
        if reject is not None and time.monotonic() - began >= _SLOW_S:
            self._health.failed(server, FetchFailure(reject, again=True))
        else:
            self._health.answered(server)

    @contextmanager
    def _slot(self, server: str) -> Iterator[None]:
        with self._freed:
            self._freed.wait_for(lambda: self._busy[server] < self._per_server)
            self._busy[server] += 1
        try:
            yield
        finally:
            with self._freed:
                self._busy[server] -= 1
                if not self._busy[server]:
                    del self._busy[server]
                self._freed.notify_all()
