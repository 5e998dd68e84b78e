"""A worker on a thread, with a session in memory in place of Kafka."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError

from kaption.connections.errors import Retry
from kaption.connections.settings import KafkaConnection
from kaption.workers.runtime import opening
from kaption.workers.runtime.policy import RuntimePolicy
from support.engine import POLICY, Running, Toy, until
from support.fake_session import P0, FakeBroker, FakeSession

LONG_S = 60.0
AT_ONCE_S = 8.0
"""Generous for a busy machine, and far below LONG_S and the grace period."""
LIMIT_S = 30.0


class Kept(Toy):
    """Notes when it is set up and closed."""

    def __init__(self) -> None:
        super().__init__(records=4, wait_s=0.01)
        self.calls: list[str] = []

    def setup(self) -> None:
        self.calls.append("setup")

    def close(self) -> None:
        self.calls.append("close")


class Kafka:
    """What the workers of a test meet."""

    def __init__(self) -> None:
        self.broker = FakeBroker()
        self.sessions: list[FakeSession] = []
        self.opening: Callable[[], object] = lambda: None
        """Called before a session opens; may raise or wait."""
        self.seen: str | None = None
        """What `check_access` sees of a broker that does not let us in."""

    @property
    def session(self) -> FakeSession:
        (session,) = self.sessions
        return session

    def opens(self) -> bool:
        """Wait for a session."""
        return until(lambda: bool(self.sessions), LIMIT_S)


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    made = Kafka()

    class Session(FakeSession):
        def __init__(self, *_: object, **__: object) -> None:
            made.opening()
            super().__init__(made.broker)
            self.assign(P0)
            made.sessions.append(self)

        def told(self, error: BaseException) -> str:
            return made.seen or super().told(error)

    monkeypatch.setattr(opening, "Session", Session)
    monkeypatch.setattr(opening, "check_access", lambda *_: made.seen)
    return made


class Run(Running):
    """A worker whose stage notes what becomes of it."""

    def __init__(self, stage: Kept, policy: RuntimePolicy) -> None:
        self.stage = stage
        super().__init__(stage, KafkaConnection(bootstrap="kafka:9092"), policy)

    def commits(self, records: int) -> bool:
        """Wait until so many records are done."""
        return until(lambda: self.records == records, LIMIT_S)

    def waits(self) -> bool:
        """Wait until the stage's server is seen to be down."""
        return until(lambda: self.worker.progress.waiting_for == "down", LIMIT_S)


@pytest.fixture
def run() -> Iterator[Callable[..., Run]]:
    """Starts a worker; it is stopped after the test."""
    runs: list[Run] = []

    def start(stage: Kept | None = None, **policy: float) -> Run:
        runs.append(Run(stage or Kept(), POLICY.model_copy(update=policy)))
        return runs[-1]

    yield start
    for each in runs:
        each.worker.stop()
        each.worker.stop()
        assert each.ends()


def fails() -> None:
    raise KafkaConnectionError("as told")


def stuck(kafka: Kafka) -> None:
    """A library whose constructor does not return."""
    kafka.opening = lambda: time.sleep(LONG_S)


def away(kafka: Kafka) -> None:
    """A broker that does not answer."""
    kafka.opening = fails


def down(*_: object, **__: object) -> Any:
    raise Retry("down", LONG_S)


def process_waits(stage: Kept) -> None:
    stage.before = down


def prepare_waits(stage: Kept) -> None:
    stage.prepare = down  # type: ignore[method-assign]  # of this one


def setup_waits(stage: Kept) -> None:
    stage.setup = down  # type: ignore[method-assign]  # of this one


def resume_waits(stage: Kept) -> None:
    stage.resume = down  # type: ignore[method-assign]  # of this one
