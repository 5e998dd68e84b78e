"""The age of a partition's oldest record where the broker gives none, also after a restart."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError
from prometheus_client import REGISTRY

from kaption.connections.kafka.messages import Partition
from kaption.connections.kafka.offsets import written_at
from kaption.schemas.topics import RAW
from support.damaged_log import (
    DamagedLog,
    claim_codec,
    cut_a_record,
    flip_a_record_byte,
    flip_the_length,
)
from support.engine import Stream, Toy, running
from support.kafka_faults import hang_a_record
from tools.servers import ApacheKafka

pytestmark = pytest.mark.integration

NUMBER = 1
HOURS = (9.0, 5.0, 2.0)
"""How old the records are that `old` writes."""
ASKED_AT_MOST = 33

Damage = Callable[[bytearray], None]


@pytest.fixture
def place(stream: Stream) -> Partition:
    return Partition(stream.prefix + RAW.name, NUMBER)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every question to the broker for the offset at a time."""
    found: list[Any] = []
    real = KafkaAdminClient.list_partition_offsets

    def counted(client: KafkaAdminClient, specs: Any, *rest: Any) -> Any:
        found.append(specs)
        return real(client, specs, *rest)

    monkeypatch.setattr(KafkaAdminClient, "list_partition_offsets", counted)
    return found


def old(stream: Stream, place: Partition, hours: tuple[float, ...] = HOURS) -> list[float]:
    """Write a record for each age. Returns when, in seconds of Unix time."""
    producer = KafkaProducer(bootstrap_servers=stream.bootstrap)
    times = [time.time() - 3600 * each for each in hours]
    for each in times:
        sent = producer.send(
            place.topic, b"x" * 50, partition=place.partition, timestamp_ms=round(each * 1000)
        )
        sent.get(30)
    producer.close()
    return times


def shown(place: Partition) -> float | None:
    """What `/metrics` has of the partition; None where it has nothing."""
    labels = {"stage": Toy.name, "topic": place.topic, "partition": str(place.partition)}
    return REGISTRY.get_sample_value("kaption_oldest_record_age_seconds", labels)


@pytest.mark.parametrize("offset", range(len(HOURS)))
def test_the_broker_tells_when_a_record_was_written(
    stream: Stream, place: Partition, asked: list[Any], offset: int
) -> None:
    times = old(stream, place)
    assert written_at(stream.connection, place, offset, 30) == pytest.approx(times[offset], abs=1)
    assert len(asked) <= ASKED_AT_MOST


@pytest.mark.parametrize(
    ("damage", "before"),
    [
        (flip_a_record_byte, 1),
        (claim_codec(7), 1),
        (claim_codec(7), 0),
        (cut_a_record, 1),
        (flip_the_length, 1),
    ],
)
def test_also_of_a_batch_that_cannot_be_read(
    apache_kafka: ApacheKafka, stream: Stream, damage: Damage, before: int
) -> None:
    # Given records that were written one after the other, of which one batch is damaged
    place, times = Partition(stream.prefix + RAW.name, 0), []
    for _ in range(before + 2):
        stream.produce(["text"])
        stream.produced = 0  # all into one partition
        times.append(time.time())
        time.sleep(1.5)
    DamagedLog(apache_kafka.folder, *place).change(before, damage)
    told = written_at(stream.connection, place, before, 30)
    # Then it is not told as younger than it is, and at most as old as the record before it
    assert told is not None
    assert times[max(0, before - 1)] - 2 < told < times[before] + 1


def test_where_nothing_is_written_the_broker_cannot_tell(
    stream: Stream, place: Partition, asked: list[Any]
) -> None:
    assert written_at(stream.connection, place, 0, 30) is None
    assert len(asked) <= ASKED_AT_MOST


def test_a_partition_without_a_broker_is_no_answer(stream: Stream, place: Partition) -> None:
    gone = stream.connection.model_copy(update={"bootstrap": "127.0.0.1:1"})
    with pytest.raises(KafkaError):
        written_at(gone, place, 0, 1)


def test_a_worker_that_starts_shows_the_age_of_what_the_broker_does_not_give_it(
    stream: Stream, place: Partition, asked: list[Any]
) -> None:
    # Given a partition whose oldest record is in a transaction that hangs
    hang_a_record(stream.bootstrap, TopicPartition(*place), hours_old=2)
    # When a worker starts, as after each end because of it
    ages: list[float] = []
    with running(Toy(), stream) as worker:
        while len(ages) < 10:
            assert not worker.ends(0.1)
            ages += [age for age in [shown(place)] if age is not None]
    # Then each age that it showed is the record's, for which it has asked once
    assert min(ages) == pytest.approx(7200, abs=120)
    assert len(asked) <= ASKED_AT_MOST
