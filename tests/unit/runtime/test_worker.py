"""A worker from its start to its end, with a session in memory in place of Kafka."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from kaption.connections.errors import Fatal, Retry
from kaption.connections.settings import KafkaConnection
from kaption.workers.runtime import opening
from kaption.workers.runtime.pipeline import Pipeline
from kaption.workers.runtime.worker import Worker
from support.engine import POLICY, until
from support.fake_session import P0
from support.logs import logged
from support.worker_rig import (
    LIMIT_S,
    Kafka,
    Kept,
    Run,
    away,
    prepare_waits,
    process_waits,
    resume_waits,
)

pytestmark = pytest.mark.slow


def test_it_works_until_it_is_stopped_and_leaves_in_order(
    kafka: Kafka, run: Callable[..., Run]
) -> None:
    kafka.broker.produce(P0, ["text"] * 10)
    it = run()
    assert it.commits(10)
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


def test_no_broker_within_the_limit_ends_the_worker_and_names_the_address(
    kafka: Kafka, run: Callable[..., Run]
) -> None:
    away(kafka)
    kafka.seen = "kafka:9092: connection refused"
    it = run(rebuild_limit_s=0.2)
    assert it.ends()
    assert str(it.error) == (
        "no Kafka broker answers at kafka:9092: kafka:9092: connection refused; start it,"
        " or correct kafka.bootstrap (KAPTION_KAFKA__BOOTSTRAP)"
    )
    assert isinstance(it.error, Fatal)
    assert it.stage.calls == ["setup", "close"]


def test_a_broker_that_refuses_the_worker_ends_it_at_once(
    kafka: Kafka, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses = partial(_gives_up, "the password is refused")
    monkeypatch.setattr(opening, "check_access", refuses)
    it = run()
    assert it.ends()
    assert str(it.error) == "the password is refused"


def test_a_stage_whose_server_comes_late_is_set_up_then(
    kafka: Kafka, run: Callable[..., Run]
) -> None:
    stage = Kept()
    set_up, left = stage.setup, [Retry("down", 0.01)] * 2

    def late() -> None:
        if left:
            raise left.pop()
        set_up()

    stage.setup = late  # type: ignore[method-assign]  # of this one
    kafka.broker.produce(P0, ["text"] * 10)
    it = run(stage)
    assert it.commits(10)
    assert stage.calls == ["setup"]


@pytest.mark.parametrize("waits", [process_waits, prepare_waits, resume_waits])
def test_an_outage_is_told_in_one_line(
    kafka: Kafka, run: Callable[..., Run], waits: Callable[[Kept], None]
) -> None:
    stage = Kept()
    waits(stage)
    kafka.broker.produce(P0, ["text"] * 10)
    with logged() as lines:
        it = run(stage)
        assert it.waits()
        time.sleep(0.2)
    assert [(line["event"], line.get("why")) for line in lines] == [("waiting", "down")]


@pytest.mark.parametrize("waits", [process_waits, prepare_waits, resume_waits])
def test_a_worker_whose_stage_waits_is_not_ready_though_every_server_answers(
    kafka: Kafka, run: Callable[..., Run], waits: Callable[[Kept], None]
) -> None:
    stage = Kept()
    waits(stage)
    kafka.broker.produce(P0, ["text"] * 10)
    it = run(stage)
    assert it.waits()
    assert stage.ready() is None
    assert it.worker.not_ready() == "down"


def test_a_poll_thread_that_hangs_ends_the_worker(kafka: Kafka, run: Callable[..., Run]) -> None:
    released = threading.Event()
    it = run(stuck_s=0.5)
    assert kafka.opens()
    kafka.session.failing = lambda: released.wait(LIMIT_S)
    assert it.ends()
    assert str(it.error) == "the poll thread has not finished a round for 0 s"
    assert not it.worker.alive
    released.set()


def test_an_error_of_the_stage_ends_the_worker_which_closes_it(
    kafka: Kafka, run: Callable[..., Run]
) -> None:
    stage = Kept()
    stage.before = partial(_gives_up, "the model is wrong")
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
    monkeypatch.setattr(stage, "process", lambda batch: [])
    kafka.broker.produce(P0, ["text"])
    it = run(stage)
    assert it.ends()
    assert "0 outcomes for 1 records" in str(it.error)


def test_each_error_of_a_pipeline_is_told_once(kafka: Kafka) -> None:
    # Given two workers that give up
    workers = {}
    for name in ("first", "second"):
        stage = Kept()
        stage.setup = partial(_gives_up, name)  # type: ignore[method-assign]  # of this one
        workers[name] = Worker(stage, KafkaConnection(), POLICY)
    pipeline = Pipeline(workers)
    # When they run; then one error is raised and the other one is logged
    with logged() as lines:
        pipeline.start()
        with pytest.raises(Fatal) as raised:
            pipeline.wait()
    told = [str(raised.value), *(line["error"] for line in lines)]
    assert sorted(told) == ["first", "second"]


def _gives_up(why: str, *_: object) -> Any:
    raise Fatal(why)
