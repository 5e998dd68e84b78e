"""What breaks in `bench.soak`: one fault every 20 seconds, in an order that a seed draws."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
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
        self._deck: dict[str, tuple[int, Callable[[], None]]] = {
            "workers killed": (_KILLS, self._kill_worker),
            "workers frozen": (2, self._freeze_worker),
            "broker frozen for seconds": (2, lambda: self._freeze(broker, _SHORT_S)),
            "broker frozen for a session": (1, lambda: self._freeze(broker, _LONG_S)),
            "broker frozen for all sessions": (1, lambda: self._freeze(broker, _LONGEST_S)),
            "broker killed": (1, lambda: self._kill_server(broker)),
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
                if replica.ended is not None:
                    tail = replica.log.read_text(errors="replace").splitlines()[-5:]
                    self.problems.append("\n".join([f"{replica.log.stem} ended by itself:", *tail]))
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

    def _freeze(self, server: LocalServer, seconds: tuple[float, float]) -> None:
        server.freeze()
        time.sleep(self._rng.uniform(*seconds))
        server.thaw()

    def _kill_server(self, server: LocalServer) -> None:
        server.kill9()
        time.sleep(self._rng.uniform(*_AWAY_S))
        server.start()
