"""A worker that is asked to stop, whatever it waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest

from kaption.connections.settings import KafkaConnection
from kaption.workers.runtime import worker as worker_module
from kaption.workers.runtime.worker import Worker
from support.engine import POLICY, until
from support.fake_session import P0
from support.logs import logged
from support.worker_rig import (
    AT_ONCE_S,
    LIMIT_S,
    LONG_S,
    Kafka,
    Kept,
    Run,
    away,
    fails,
    prepare_waits,
    process_waits,
    resume_waits,
    setup_waits,
    stuck,
)

pytestmark = pytest.mark.slow


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


def test_a_stop_while_the_stage_waits_for_a_server_at_its_start_takes_effect_at_once(
    kafka: Kafka, run: Callable[..., Run]
) -> None:
    stage = Kept()
    setup_waits(stage)
    it = run(stage)
    assert it.waits()
    it.worker.stop()
    assert it.ends(AT_ONCE_S)
    assert (it.error, stage.calls, kafka.sessions) == (None, [], [])


@pytest.mark.parametrize("waits", [process_waits, prepare_waits, resume_waits])
def test_a_stop_during_a_back_off_takes_effect_at_once(
    kafka: Kafka, run: Callable[..., Run], waits: Callable[[Kept], None]
) -> None:
    # Given a stage that was asked to wait for longer than the grace period
    stage = Kept()
    waits(stage)
    kafka.broker.produce(P0, ["text"] * 10)
    it = run(stage)
    assert it.waits()
    # When it is stopped
    it.worker.stop()
    # Then it ends in order, and nothing of what waited is committed
    assert it.ends(AT_ONCE_S)
    assert (it.error, stage.calls) == (None, ["setup", "close"])
    assert kafka.broker.committed.get(P0, 0) == 0


def test_a_stop_during_the_pause_after_a_failed_poll_still_pauses_between_tries(
    kafka: Kafka, run: Callable[..., Run]
) -> None:
    # Given results that cannot be committed, and a consumer that fails
    it = run(grace_s=1.2)
    assert kafka.opens()
    kafka.session.member = False
    kafka.broker.produce(P0, ["text"])
    assert until(lambda: it.worker.progress.held.records == 1, LIMIT_S)
    assert until(lambda: kafka.session.polls > 20, LIMIT_S)
    kafka.session.failing = fails
    # When it is stopped; then it does not hammer the broker for its grace period
    it.worker.stop()
    assert it.ends()
    assert kafka.session.replaced <= 4


@pytest.mark.parametrize(("asked", "grace_s"), [(1, 0.2), (2, LONG_S)])
def test_a_poll_thread_that_hangs_does_not_outlive_the_grace_period(
    kafka: Kafka, run: Callable[..., Run], asked: int, grace_s: float
) -> None:
    released = threading.Event()
    it = run(grace_s=grace_s, stuck_s=LONG_S)
    assert kafka.opens()
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
