"""A worker whose consumer fails, or gives nothing."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError

from kaption.connections.errors import Fatal
from kaption.connections.kafka.messages import Partition
from kaption.connections.kafka.unreadable import UnreadableBatch
from support.engine import until
from support.fake_session import P0, FakeSession
from support.logs import logged
from support.worker_rig import LIMIT_S, Kafka, Run, fails

pytestmark = pytest.mark.slow


def test_a_consumer_that_fails_is_replaced_and_the_reason_is_told_once(
    kafka: Kafka, run: Callable[..., Run]
) -> None:
    kafka.broker.produce(P0, ["text"] * 10)
    it = run()
    assert it.commits(10)
    failures = iter([KafkaConnectionError("as told")] * 2)

    def fails() -> None:
        for failure in failures:
            raise failure

    with logged() as lines:
        kafka.session.failing = fails
        kafka.broker.produce(P0, ["text"] * 10)
        assert it.commits(20)
    assert kafka.session.replaced == 2
    assert [line["event"] for line in lines] == ["consumer replaced"]


def test_a_consumer_that_fails_for_longer_than_the_limit_ends_the_worker(
    kafka: Kafka, run: Callable[..., Run]
) -> None:
    it = run(rebuild_limit_s=1.0)
    assert kafka.opens()
    kafka.session.failing = fails
    assert it.ends()
    assert isinstance(it.error, Fatal)
    assert "the consumer fails for" in str(it.error)
    assert "as told" in str(it.error)
    assert it.stage.calls == ["setup", "close"]


def test_a_failure_that_alternates_with_empty_polls_adds_up_to_the_limit(
    kafka: Kafka, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given records to read, and a consumer that never gives them
    kafka.broker.produce(P0, ["text"])
    failing = itertools.cycle([True, False])

    def poll(*_: object) -> dict[Partition, list[Any]]:
        if next(failing):
            raise KafkaConnectionError("as told")
        time.sleep(0.02)
        return {}

    monkeypatch.setattr(FakeSession, "poll", poll)
    # When it fails every second time; then the worker ends, and has told the reason once
    with logged() as lines:
        it = run(rebuild_limit_s=2.0)
        assert it.ends()
    assert "the consumer fails for" in str(it.error)
    assert [line["event"] for line in lines].count("consumer replaced") == 1


def test_failures_between_which_everything_was_read_do_not_add_up(
    kafka: Kafka, run: Callable[..., Run]
) -> None:
    # Given a worker that is idle
    it = run(rebuild_limit_s=1.0)
    assert kafka.opens()
    failing = itertools.cycle([True] + [False] * 200)

    def fails() -> None:
        if next(failing):
            raise KafkaConnectionError("as told")

    # When it fails now and then; then it goes on
    kafka.session.failing = fails
    assert until(lambda: kafka.session.replaced >= 4, LIMIT_S)
    kafka.broker.produce(P0, ["text"])
    assert it.commits(1)
    assert it.error is None


@pytest.mark.parametrize("mended", [True, False])
def test_a_partition_that_cannot_be_read_waits_and_the_worker_is_not_ready(
    kafka: Kafka, run: Callable[..., Run], mended: bool
) -> None:
    # Given a partition whose next batch cannot be read, while polls in between are empty
    it = run(rebuild_limit_s=2.0)
    assert kafka.opens()
    readable = threading.Event()

    def fails() -> None:
        if not readable.is_set() and P0 not in kafka.session.paused:
            raise UnreadableBatch(P0, 0, 3, "CorruptRecordError: crc")

    with logged() as lines:
        kafka.session.failing = fails
        assert until(lambda: "pairs.raw/0 cannot be read" in (it.worker.not_ready() or ""), LIMIT_S)
        # When it can be read again, then the worker goes on; else it ends with what to do
        if mended:
            readable.set()
            kafka.broker.produce(P0, ["text"])
            assert it.commits(1)
            assert until(lambda: it.worker.not_ready() is None, LIMIT_S)
        else:
            assert it.ends()
            assert "KAPTION_RUNTIME__PASS_OVER_UNREADABLE" in str(it.error)
    assert [line["event"] for line in lines] == ["partition waits, the others go on"]
    assert kafka.session.replaced == 0


@pytest.mark.parametrize("mended", [True, False])
def test_a_partition_that_gives_nothing_and_no_error_is_told(
    kafka: Kafka, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, mended: bool
) -> None:
    # Given records that the broker has and does not give, for a worker with nothing else to do
    gives, silent = FakeSession.poll, threading.Event()
    silent.set()

    def poll(session: FakeSession, *limits: Any) -> Any:
        time.sleep(0.02)
        return {} if silent.is_set() else gives(session, *limits)

    monkeypatch.setattr(FakeSession, "poll", poll)
    kafka.broker.produce(P0, ["text"])
    it = run(rebuild_limit_s=4.0)
    assert until(lambda: "the broker gives nothing" in (it.worker.not_ready() or ""), LIMIT_S)
    # When it gives them after all, then the worker goes on; else it ends
    if mended:
        silent.clear()
        assert until(lambda: it.records == 1 and it.worker.not_ready() is None, LIMIT_S)
    else:
        assert it.ends()
        assert "pairs.raw/0 cannot be read at offset 0" in str(it.error)
