"""What the preparation threads are to do next, so that no foreign server holds up the others."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.stage import nobody_abroad, seconds_abroad

SLOW_S = 1.0
"""A thread that waits longer for a foreign server is not counted among those at work."""
SPARE_THREADS = 512
"""Threads besides those at work. Each takes about 100 kB."""
QUICK_LANES = 10_000
"""Lanes that are remembered as quick."""
_LOOK_S = 0.02
_LOOK_FOR_TASKS_S = 0.2
_FIRST_WIDTH = 3  # so few tries are lost on a server that does not answer


@dataclass(frozen=True, slots=True)
class Task:
    """Entries to prepare. Those of a lane come alone, and hold a place in it."""

    entries: Sequence[Entry]
    lane: str | None = None


@dataclass(slots=True)
class _Lane:
    width: int = _FIRST_WIDTH
    busy: int = 0
    waiting: deque[Entry] = field(default_factory=deque)


class Lanes:
    """The tasks of the preparation threads. Any thread may call its methods.

    At most `threads` tasks run at once, besides those that wait for a foreign server: for longer
    than a second, or in a lane in which the last prepared one was not quick. A hundred servers that
    are dead or slow would otherwise keep all threads for a second for each entry. A lane takes
    three entries at once at first, and one more after each that was quick or prepared, up to its
    limit. After another one it takes none until all are done, or one is quick or prepared.
    """

    def __init__(self, threads: int, width: int, clock: Callable[[], float]) -> None:
        self._threads = threads
        self._limit = width
        self._clock = clock
        self._changed = threading.Condition()
        self._tasks: deque[Task] = deque()
        self._lanes: dict[str, _Lane] = {}
        self._later: list[tuple[float, int, Entry, str | None]] = []
        self._order = itertools.count()
        self._began: dict[int, float] = {}
        self._lane_of: dict[int, str] = {}
        self._quick: OrderedDict[str, None] = OrderedDict()
        self._looks = False
        self._idle = 0
        self._stopped = False
        self._in_lanes = 0

    def put(self, entries: Sequence[Entry]) -> None:
        """Queue entries whose lane is not known yet."""
        with self._changed:
            self._add(Task(entries))

    def enter(self, lane: str, entry: Entry, *, here: bool) -> bool:
        """Take a place in the lane, for the calling thread if `here`.

        Returns whether the thread has it. Otherwise the entry comes in a task of its own.
        """
        with self._changed:
            entered = self._enter(lane, entry)
            if entered and not here:
                self._add(Task([entry], lane))
            elif entered:
                self._lane_of[threading.get_ident()] = lane
            return entered and here

    def leave(self, lane: str, *, well: bool) -> None:
        """Give the place back, after the preparation for which the thread took it.

        `well`: the entry is prepared. More may then go to the server, even if it took its time.
        """
        with self._changed:
            one = self._lanes[lane]
            self._lane_of.pop(threading.get_ident(), None)
            quick = self._clock() - self._began[threading.get_ident()] < SLOW_S
            going = well or quick
            one.width += going
            one.busy -= 1
            # What fails at once tells nothing: it may be known of a slow server without asking it.
            if well or not quick:
                self._quick.pop(lane, None)
            if well and quick:
                self._quick[lane] = None
                if len(self._quick) > QUICK_LANES:
                    self._quick.popitem(last=False)
            # After a slow one the others at work are awaited: their outcomes may tell that the
            # server is silent, and one more that begins now would take as long again.
            free = min(one.width, self._limit) if going or not one.busy else 0
            while one.waiting and one.busy < free:
                one.busy += 1
                self._in_lanes -= 1
                self._add(Task([one.waiting.popleft()], lane))
            if not one.busy:
                del self._lanes[lane]

    def later(self, entry: Entry, lane: str | None, after_s: float) -> None:
        """Queue an entry again after some seconds."""
        with self._changed:
            due = self._clock() + after_s
            heapq.heappush(self._later, (due, next(self._order), entry, lane))
            self._changed.notify_all()

    def take(self) -> tuple[Task, bool] | None:
        """Wait for the next task. With it: whether no other thread waits. None after `stop`."""
        me = threading.get_ident()
        with self._changed:
            self._began.pop(me, None)
            self._idle += 1
            while not self._stopped:
                now = self._clock()
                self._wake(now)
                if self._tasks and len(self._began) - self._apart() < self._threads:
                    self._began[me] = now
                    self._idle -= 1
                    task = self._tasks.popleft()
                    if task.lane is not None:
                        self._lane_of[me] = task.lane
                    if self._tasks or self._later:
                        self._changed.notify()
                    return task, not self._idle
                self._wait(now)
            self._changed.notify_all()
            return None

    def stop(self) -> None:
        """Let every thread end after its task."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """Entries that wait without a thread, or in a thread that is not at work."""
        with self._changed:
            return self._in_lanes + len(self._later) + self._apart()

    def _apart(self) -> int:
        """Threads that wait for a foreign server and are not counted among those at work."""
        if nobody_abroad():  # nearly always, in stages that ask no server
            return 0
        away = ((seconds_abroad(thread), self._lane_of.get(thread)) for thread in self._began)
        return sum(
            seconds >= SLOW_S or (seconds > 0 and lane is not None and lane not in self._quick)
            for seconds, lane in away
        )

    def _wait(self, now: float) -> None:
        """Wait for a change. Of the threads that wait, one looks at the clock for all."""
        if self._looks or not (self._began or self._tasks or self._later):
            self._changed.wait()
            return
        # A task that comes may wake another thread, which cannot take it and goes to sleep again.
        # So this one never sleeps for long.
        look = _LOOK_S if self._tasks else _LOOK_FOR_TASKS_S
        self._looks = True
        self._changed.wait(min(look, self._later[0][0] - now) if self._later else look)
        self._looks = False

    def _add(self, task: Task) -> None:
        self._tasks.append(task)
        self._changed.notify()

    def _enter(self, lane: str, entry: Entry) -> bool:
        one = self._lanes.setdefault(lane, _Lane())
        if one.busy < min(one.width, self._limit) and not one.waiting:
            one.busy += 1
            return True
        one.waiting.append(entry)
        self._in_lanes += 1
        return False

    def _wake(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            _, _, entry, lane = heapq.heappop(self._later)
            if lane is None:
                self._tasks.append(Task([entry]))
            elif self._enter(lane, entry):
                self._tasks.append(Task([entry], lane))
