"""A poll loop that a test steps, with a session in memory in place of Kafka."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from kaption.connections.errors import Retry
from kaption.connections.settings import KafkaConnection
from kaption.workers.runtime.parts import Parts
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.poll import Poll
from kaption.workers.runtime.session import Session
from kaption.workers.runtime.stage import Batching
from kaption.workers.runtime.worker import Worker
from support.engine import POLICY, Toy
from support.fake_session import P0, P1, FakeBroker, FakeSession

LIMIT_S = 20.0
NEVER_S = 60.0
"""A wait that no test can afford to sit through."""


class Rig:
    """A worker's parts as the worker puts them together; the test is the poll thread."""

    def __init__(self, stage: Toy, policy: RuntimePolicy) -> None:
        self.broker = FakeBroker()
        self.session = FakeSession(self.broker)
        self.worker = Worker(stage, KafkaConnection(), policy)
        self.poll: Poll = self.worker._assemble(cast(Session, self.session))
        self.parts: Parts = self.poll._parts

    def until(self, condition: Callable[[], bool]) -> None:
        """Step until `condition` holds."""
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, "it never came true"
            self.poll.step()

    def steps(self, number: int) -> None:
        for _ in range(number):
            self.poll.step()

    def drain(self) -> float:
        """Stop gracefully; returns how many seconds it took."""
        began = time.monotonic()
        self.worker.stop()
        self.until(lambda: self.poll.drained)
        return time.monotonic() - began

    @property
    def records(self) -> int:
        return self.worker.progress.snapshot().records

    @property
    def records_held(self) -> int:
        return self.parts.progress.held.records


@contextmanager
def rig(stage: Toy | None = None, policy: RuntimePolicy = POLICY) -> Iterator[Rig]:
    """Started, with two partitions assigned; its threads are ended after the block."""
    made = Rig(stage or Toy(records=4, wait_s=0.01), policy)
    made.poll.start()
    made.session.assign(P0, P1)
    try:
        yield made
    finally:
        made.worker.stop()
        assert made.poll.stop(LIMIT_S)


class Gate:
    """Holds a call up until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, texts: Sequence[str]) -> None:
        self.reached.set()
        assert self.opened.wait(LIMIT_S)


class Shards(Toy):
    """A batch is one partition's shard, as at the sink."""

    def __init__(self, records: int = 4) -> None:
        super().__init__()
        self._batching = Batching(records, NEVER_S, per_partition=True)


def down(*_: object) -> None:
    raise Retry("the store is down", after_s=NEVER_S)
