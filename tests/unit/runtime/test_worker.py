"""A worker from its start to its end, with a session in memory in place of Kafka."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError

from kaption.connections.errors import Fatal, Retry
from kaption.connections.kafka.messages import Partition
from kaption.connections.settings import KafkaConnection
from kaption.schemas.topics import RAW
from kaption.workers.runtime import opening
from kaption.workers.runtime import worker as worker_module
from kaption.workers.runtime.pipeline import Pipeline
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.stage import Outcome
from kaption.workers.runtime.worker import Worker
from support.engine import POLICY, Toy, until
from support.fake_session import FakeBroker, FakeSession
from support.logs import logged

pytestmark = pytest.mark.slow

P0 = Partition(RAW.name, 0)
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


class Resuming(Kept):
    """Its truth lies outside Kafka, in a store that is down."""

    def resume(self, topic: str, partition: int, committed: int) -> int:
        raise Retry("down", LONG_S)


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


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    made = Kafka()

    class Session(FakeSession):
        def __init__(self, *_: object, **__: object) -> None:
            made.opening()
            super().__init__(made.broker)
            self.assign(P0)
            made.sessions.append(self)

    monkeypatch.setattr(opening, "Session", Session)
    monkeypatch.setattr(opening, "check_access", lambda *_: made.seen)
    monkeypatch.setattr(worker_module, "check_access", lambda *_: made.seen)
    return made


class Run:
    """A worker on a thread."""

    def __init__(self, stage: Kept, policy: RuntimePolicy) -> None:
        self.stage = stage
        self.worker = Worker(stage, KafkaConnection(bootstrap="kafka:9092"), policy)
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.worker.run()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    @property
    def records(self) -> int:
        return self.worker.progress.snapshot().records

    def ends(self, within_s: float = LIMIT_S) -> bool:
        self.thread.join(within_s)
        return not self.thread.is_alive()


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


def test_it_works_until_it_is_stopped_and_leaves_in_order(
    kafka: Kafka, run: Callable[..., Run]
) -> None:
    kafka.broker.produce(P0, ["text"] * 10)
    it = run()
    assert until(lambda: it.records == 10, LIMIT_S)
    with logged() as lines:
        it.worker.stop()
        assert it.ends()
    assert (it.error, it.stage.calls, kafka.session.closed) == (None, ["setup", "close"], True)
    assert kafka.broker.committed == {P0: 10}
    assert lines == []


def test_probes_tell_what_is_missing(kafka: Kafka, run: Callable[..., Run]) -> None:
    opened = threading.Event()
    kafka.opening = lambda: opened.wait(LIMIT_S)
    it = run()
    assert it.worker.not_ready() == "not connected to Kafka"
    opened.set()
    assert until(lambda: bool(kafka.sessions) and it.worker.not_ready() is None, LIMIT_S)
    kafka.session.joining = True
    assert it.worker.not_ready() == "no member of the consumer group"
    assert it.worker.alive


def stuck(kafka: Kafka) -> None:
    """A library whose constructor does not return."""
    kafka.opening = lambda: time.sleep(LONG_S)


def away(kafka: Kafka) -> None:
    """A broker that does not answer."""

    def fails() -> None:
        raise KafkaConnectionError("no answer")

    kafka.opening = fails


@pytest.mark.parametrize("broker", [stuck, away])
def test_a_stop_while_no_broker_answers_takes_effect_at_once_and_says_so_once(
    kafka: Kafka, run: Callable[..., Run], broker: Callable[[Kafka], None]
) -> None:
    broker(kafka)
    with logged() as lines:
        it = run(rebuild_limit_s=LONG_S)
        time.sleep(1.2)  # long enough for a few tries
        it.worker.stop()
        assert it.ends(AT_ONCE_S)
    assert (it.error, it.stage.calls) == (None, ["setup", "close"])
    told = [line["event"] for line in lines]
    assert told == ["no broker yet"] * (broker is away) + ["stopped before Kafka answered"]


def test_a_session_that_opens_after_the_worker_has_left_is_closed(
    kafka: Kafka, run: Callable[..., Run]
) -> None:
    tried, opened = threading.Event(), threading.Event()

    def waits() -> None:
        tried.set()
        opened.wait(LIMIT_S)

    kafka.opening = waits
    it = run()
    assert tried.wait(LIMIT_S)
    it.worker.stop()
    assert it.ends(AT_ONCE_S)
    opened.set()
    assert until(lambda: bool(kafka.sessions) and kafka.session.closed, LIMIT_S)


def test_a_worker_that_is_stopped_before_it_runs_does_nothing(kafka: Kafka) -> None:
    stage = Kept()
    worker = Worker(stage, KafkaConnection(), POLICY)
    worker.stop()
    worker.run()
    assert stage.calls == ["setup", "close"]


def test_no_broker_within_the_limit_ends_the_worker_and_names_the_address(
    kafka: Kafka, run: Callable[..., Run]
) -> None:
    away(kafka)
    kafka.seen = "kafka:9092: connection refused"
    it = run(rebuild_limit_s=0.2)
    assert it.ends()
    assert str(it.error) == (
        "no Kafka broker answers at kafka:9092: kafka:9092: connection refused"
    )
    assert isinstance(it.error, Fatal)
    assert it.stage.calls == ["setup", "close"]


def test_a_broker_that_refuses_the_worker_ends_it_at_once(
    kafka: Kafka, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise Fatal("the password is refused")

    monkeypatch.setattr(opening, "check_access", refuses)
    it = run()
    assert it.ends()
    assert str(it.error) == "the password is refused"


def process_waits(stage: Kept) -> None:
    def down(texts: Sequence[str]) -> None:
        raise Retry("down", LONG_S)

    stage.before = down


def prepare_waits(stage: Kept) -> None:
    def down(message: object) -> str:
        raise Retry("down", LONG_S)

    stage.prepare = down  # type: ignore[method-assign]  # of this one


def resume_waits(stage: Kept) -> None:
    """Nothing to do: that is what `Resuming` is."""


@pytest.mark.parametrize("waits", [process_waits, prepare_waits, resume_waits])
def test_a_stop_during_a_back_off_takes_effect_at_once(
    kafka: Kafka, run: Callable[..., Run], waits: Callable[[Kept], None]
) -> None:
    # Given a stage that was asked to wait for longer than the grace period
    stage = Resuming() if waits is resume_waits else Kept()
    waits(stage)
    kafka.broker.produce(P0, ["text"] * 10)
    it = run(stage)
    assert until(lambda: it.worker.progress.waiting_for == "down", LIMIT_S)
    # When it is stopped
    it.worker.stop()
    # Then it ends in order, and nothing of what waited is committed
    assert it.ends(AT_ONCE_S)
    assert (it.error, stage.calls) == (None, ["setup", "close"])
    assert kafka.broker.committed.get(P0, 0) == 0


@pytest.mark.parametrize("waits", [process_waits, prepare_waits, resume_waits])
def test_an_outage_is_told_in_one_line(
    kafka: Kafka, run: Callable[..., Run], waits: Callable[[Kept], None]
) -> None:
    stage = Resuming() if waits is resume_waits else Kept()
    waits(stage)
    kafka.broker.produce(P0, ["text"] * 10)
    with logged() as lines:
        it = run(stage)
        assert until(lambda: it.worker.progress.waiting_for == "down", LIMIT_S)
        time.sleep(0.2)
    assert [(line["event"], line.get("why")) for line in lines] == [("waiting", "down")]


def test_a_consumer_that_fails_is_replaced_and_the_reason_is_told_once(
    kafka: Kafka, run: Callable[..., Run]
) -> None:
    kafka.broker.produce(P0, ["text"] * 10)
    it = run()
    assert until(lambda: it.records == 10, LIMIT_S)
    failures = iter([KafkaConnectionError("as told")] * 2)

    def fails() -> None:
        for failure in failures:
            raise failure

    with logged() as lines:
        kafka.session.failing = fails
        kafka.broker.produce(P0, ["text"] * 10)
        assert until(lambda: it.records == 20, LIMIT_S)
    assert kafka.session.replaced == 2
    assert [line["event"] for line in lines] == ["consumer replaced"]


def test_a_consumer_that_fails_for_longer_than_the_limit_ends_the_worker(
    kafka: Kafka, run: Callable[..., Run]
) -> None:
    def fails() -> None:
        raise KafkaConnectionError("as told")

    kafka.opening = lambda: None
    it = run(rebuild_limit_s=1.0)
    assert until(lambda: bool(kafka.sessions), LIMIT_S)
    kafka.session.failing = fails
    assert it.ends()
    assert isinstance(it.error, Fatal)
    assert "the consumer fails for" in str(it.error)
    assert "as told" in str(it.error)
    assert it.stage.calls == ["setup", "close"]


def test_a_stop_during_the_pause_after_a_failed_poll_still_pauses_between_tries(
    kafka: Kafka, run: Callable[..., Run]
) -> None:
    # Given results that cannot be committed, and a consumer that fails
    it = run(grace_s=1.2)
    assert until(lambda: bool(kafka.sessions), LIMIT_S)
    kafka.session.member = False
    kafka.broker.produce(P0, ["text"])
    assert until(lambda: it.worker.progress.held.records == 1, LIMIT_S)
    assert until(lambda: kafka.session.polls > 20, LIMIT_S)

    def fails() -> None:
        raise KafkaConnectionError("as told")

    kafka.session.failing = fails
    # When it is stopped; then it does not hammer the broker for its grace period
    it.worker.stop()
    assert it.ends()
    assert kafka.session.replaced <= 4


def test_a_poll_thread_that_hangs_ends_the_worker(kafka: Kafka, run: Callable[..., Run]) -> None:
    released = threading.Event()
    it = run(stuck_s=0.5)
    assert until(lambda: bool(kafka.sessions), LIMIT_S)
    kafka.session.failing = lambda: released.wait(LIMIT_S)
    assert it.ends()
    assert str(it.error) == "the poll thread has not come round for 0 s"
    assert not it.worker.alive
    released.set()


@pytest.mark.parametrize(("asked", "grace_s"), [(1, 0.2), (2, LONG_S)])
def test_a_poll_thread_that_hangs_does_not_outlive_the_grace_period(
    kafka: Kafka, run: Callable[..., Run], asked: int, grace_s: float
) -> None:
    released = threading.Event()
    it = run(grace_s=grace_s, stuck_s=LONG_S)
    assert until(lambda: bool(kafka.sessions), LIMIT_S)
    kafka.session.failing = lambda: released.wait(LONG_S)
    for _ in range(asked):
        it.worker.stop()
    assert it.ends(AT_ONCE_S)
    assert it.error is None
    released.set()


def test_a_second_stop_leaves_at_once_and_tells_once_what_is_left(
    kafka: Kafka, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a batch in a stage that does not return
    monkeypatch.setattr(worker_module, "_CLOSE_S", 0.2)
    stage, reached, released = Kept(), threading.Event(), threading.Event()

    def hangs(texts: Sequence[str]) -> None:
        reached.set()
        released.wait(LONG_S)

    stage.before = hangs
    kafka.broker.produce(P0, ["text"] * 3)
    it = run(stage, grace_s=LONG_S)
    assert reached.wait(LIMIT_S)
    # When it is stopped once, then it waits for the batch
    it.worker.stop()
    assert not it.ends(0.5)
    # When it is stopped twice, then it leaves and does not close the stage under the batch
    with logged() as lines:
        it.worker.stop()
        assert it.ends(AT_ONCE_S)
    assert (it.error, stage.calls) == (None, ["setup"])
    assert [(line["event"], line["stage_closed"]) for line in lines] == [
        ("worker left work undone, which comes again", False)
    ]
    assert kafka.broker.committed.get(P0, 0) == 0
    released.set()


def test_an_error_of_the_stage_ends_the_worker_which_closes_it(
    kafka: Kafka, run: Callable[..., Run]
) -> None:
    stage = Kept()

    def broken(texts: Sequence[str]) -> None:
        raise Fatal("the model is wrong")

    stage.before = broken
    kafka.broker.produce(P0, ["text"])
    with logged() as lines:
        it = run(stage)
        assert it.ends()
    assert str(it.error) == "the model is wrong"
    assert (stage.calls, kafka.session.closed) == (["setup", "close"], True)
    # The caller of run() tells the error, so the worker does not.
    assert lines == []


def test_a_wrong_number_of_outcomes_ends_the_worker(
    kafka: Kafka, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Kept()

    def short(batch: Sequence[Any]) -> Sequence[Outcome]:
        return []

    monkeypatch.setattr(stage, "process", short)
    kafka.broker.produce(P0, ["text"])
    it = run(stage)
    assert it.ends()
    assert "0 outcomes for 1 records" in str(it.error)


def test_each_error_of_a_pipeline_is_told_once(kafka: Kafka) -> None:
    # Given two workers that give up
    workers = {}
    for name in ("first", "second"):
        stage = Kept()
        stage.setup = _gives_up(name)  # type: ignore[method-assign]  # of this one
        workers[name] = Worker(stage, KafkaConnection(), POLICY)
    pipeline = Pipeline(workers)
    # When they run; then one error is raised and the other one is logged
    with logged() as lines:
        pipeline.start()
        with pytest.raises(Fatal) as raised:
            pipeline.wait()
    told = [str(raised.value), *(line["error"] for line in lines)]
    assert sorted(told) == ["first gave up", "second gave up"]


def _gives_up(name: str) -> Callable[[], None]:
    def setup() -> None:
        raise Fatal(f"{name} gave up")

    return setup
