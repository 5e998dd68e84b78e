"""What breaks in `bench.soak`: one fault every 20 seconds, in an order that a seed draws."""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from kaption.workers.local.server import LocalServer

if TYPE_CHECKING:
    from support.replicas import Replica

EVERY_S = 20
_AWAY_S = (0.5, 4.0)
_SHORT_S = (1.0, 5.0)
_LONG_S = (8.0, 11.0)
"""Longer than the session of the workers that are killed, shorter than that of the others."""
_LONGEST_S = (21.0, 25.0)
"""Longer than every session."""
_KILLS = 5
_NO_BROKER = "kaption: no Kafka broker answers ("
"""How the only line of a worker begins that finds no broker at its start."""

Span = tuple[float, float]
"""From when until when, by one clock. What lasts still has no end: `math.inf`."""


def ended_without_broker(status: int, told: Sequence[str], ran: Span, away: Iterable[Span]) -> bool:
    """Whether a worker did what the product promises to one that starts while no broker answers.

    It ended with `status` 1 and one line, before it did anything else, and the broker was `away` at
    some time while it `ran`. `told` are the lines that it logged; the demo's models are named as
    toys in one of them.
    """
    *others, last = told or [""]
    alone = last.startswith(_NO_BROKER) and all("toy" in line for line in others)
    began, ended = ran
    return status == 1 and alone and any(gone < ended and began < back for gone, back in away)


class Faults:
    """Breaks things on a thread of its own, until `stop`."""

    def __init__(
        self,
        servers: tuple[LocalServer, LocalServer, LocalServer],
        watched: Sequence[Replica],
        victims: Sequence[Replica],
        rng: random.Random,
    ) -> None:
        """`servers` are the broker, Redis and S3; only `victims` are killed."""
        broker, redis, store = servers
        self._rng = rng
        self._replicas = [*watched, *victims]
        self._victims = victims
        self._killing = Lock()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="faults")
        self.done: Counter[str] = Counter()
        self.problems: list[str] = []
        """Servers that did not come back, and workers that ended by themselves."""
        self.started_again = 0
        """Workers that found no broker at their start, ended as they should, and were started."""
        self._away: list[Span] = []
        self._deck: dict[str, tuple[int, Callable[[], None]]] = {
            "workers killed": (_KILLS, self._kill_worker),
            "workers frozen": (2, self._freeze_worker),
            "broker frozen for seconds": (2, lambda: self._freeze(broker, _SHORT_S)),
            "broker frozen for a session": (1, lambda: self._freeze(broker, _LONG_S)),
            "broker frozen for all sessions": (1, lambda: self._freeze(broker, _LONGEST_S)),
            "broker killed": (1, lambda: self._kill_broker(broker)),
            "Redis killed": (1, lambda: self._kill_server(redis)),
            "S3 killed": (1, lambda: self._kill_server(store)),
        }

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def look(self) -> None:
        """Start workers again that have ended by themselves."""
        with self._killing:
            for replica in self._replicas:
                if (status := replica.ended) is None:
                    continue
                told, ran = replica.told, (replica.started, time.monotonic())
                if ended_without_broker(status, told, ran, self._away):
                    self.started_again += 1
                else:
                    lines = [f"{replica.log.stem} ended by itself:", *told[-5:]]
                    self.problems.append("\n".join(lines))
                replica.start()

    def stop(self) -> None:
        """Finish the present fault, and break nothing more. Idempotent."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            deck = [kind for kind, (times, _) in self._deck.items() for _ in range(times)]
            self._rng.shuffle(deck)
            for kind in deck:
                if self._stop.wait(EVERY_S):
                    return
                print(f"{time.strftime('%H:%M:%S')} {kind}", flush=True)
                try:
                    self._deck[kind][1]()
                except Exception as error:  # noqa: BLE001 - told as a violation
                    self.problems.append(f"{kind}: {error}")
                    return
                self.done[kind] += 1

    def _kill_worker(self) -> None:
        victim = self._rng.choice(self._victims)
        with self._killing:
            victim.kill9()
            victim.start()

    def _freeze_worker(self) -> None:
        """As a machine that swaps: others take its partitions, then it goes on."""
        victim = self._rng.choice(self._victims)
        os.kill(victim.pid, signal.SIGSTOP)
        time.sleep(self._rng.uniform(*_LONG_S))
        os.kill(victim.pid, signal.SIGCONT)

    def _freeze(self, broker: LocalServer, seconds: Span) -> None:
        with self._broker_away():
            broker.freeze()
            time.sleep(self._rng.uniform(*seconds))
            broker.thaw()

    def _kill_broker(self, broker: LocalServer) -> None:
        with self._broker_away():
            self._kill_server(broker)

    @contextmanager
    def _broker_away(self) -> Iterator[None]:
        began = time.monotonic()
        self._away.append((began, math.inf))
        yield  # after an error it stays away
        self._away[-1] = (began, time.monotonic())

    def _kill_server(self, server: LocalServer) -> None:
        server.kill9()
        time.sleep(self._rng.uniform(*_AWAY_S))
        server.start()
