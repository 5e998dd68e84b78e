"""The reader gives every committed record and ends where the log ended when it began."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from kaption.connections.kafka.clients import client_config
from kaption.connections.settings import KafkaConnection
from kaption.consumers.topic.reader import Read, ReadError, TopicReader
from kaption.schemas import MalformedRecordError, Position, RawPair, encode, headers_of
from kaption.schemas.topics import RAW
from kaption.testing.records import raw_pair
from support.topics import with_topics
from tools.servers import ApacheKafka

BROKERS = ["tansu", pytest.param("apache_kafka", marks=pytest.mark.integration)]
TOPIC = replace(RAW, partitions=2)


@pytest.fixture(params=BROKERS)
def connection(request: pytest.FixtureRequest, topic_prefix: str) -> KafkaConnection:
    return with_topics(request.getfixturevalue(request.param).bootstrap, topic_prefix, [TOPIC])


@pytest.fixture
def kafka_connection(apache_kafka: ApacheKafka, topic_prefix: str) -> KafkaConnection:
    return with_topics(apache_kafka.bootstrap, topic_prefix, [TOPIC])


@pytest.fixture
def producer(connection: KafkaConnection) -> Iterator[KafkaProducer]:
    producer = KafkaProducer(**client_config(connection), linger_ms=50)
    yield producer
    producer.close()


def pair(number: int) -> RawPair:
    return raw_pair(number, text=f"image {number}")


def send(producer: KafkaProducer, prefix: str, numbers: range, partition: int = 0) -> None:
    for number in numbers:
        record = pair(number)
        producer.send(
            prefix + TOPIC.name,
            encode(record),
            headers=headers_of(record),
            partition=partition,
        )
    producer.flush()


def read_ids(connection: KafkaConnection, **options: Any) -> list[str]:
    with TopicReader(connection, [TOPIC], **options) as reader:
        return [read.record.pair_id for read in reader]  # type: ignore[union-attr]  # all are pairs


def test_every_record_of_every_partition_is_read_in_order(
    connection: KafkaConnection, producer: KafkaProducer, topic_prefix: str
) -> None:
    send(producer, topic_prefix, range(1000))
    send(producer, topic_prefix, range(2000, 2010), partition=1)

    with TopicReader(connection, [TOPIC]) as reader:
        found = list(reader)

    first = [read for read in found if read.position.partition == 0]
    assert [read.record for read in first] == [pair(number) for number in range(1000)]
    assert [read.position.offset for read in first] == list(range(1000))
    assert len(found) == 1010
    assert found[0].position.topic == f"{topic_prefix}pairs.raw"
    assert ("kaption-schema", b"RawPair/1") in found[0].headers


def test_an_empty_topic_ends_at_once(connection: KafkaConnection) -> None:
    assert read_ids(connection) == []


def test_each_iteration_begins_anew_and_sees_new_records(
    connection: KafkaConnection, producer: KafkaProducer, topic_prefix: str
) -> None:
    with TopicReader(connection, [TOPIC]) as reader:
        send(producer, topic_prefix, range(3))
        assert len(list(reader)) == 3
        send(producer, topic_prefix, range(3, 8))

        assert len(list(reader)) == 8


def test_records_written_during_an_iteration_are_not_in_it(
    connection: KafkaConnection, producer: KafkaProducer, topic_prefix: str
) -> None:
    send(producer, topic_prefix, range(700))
    with TopicReader(connection, [TOPIC]) as reader:
        reading = iter(reader)
        next(reading)

        send(producer, topic_prefix, range(700, 1400))

        assert len(list(reading)) == 699


def test_reading_starts_at_a_position(
    connection: KafkaConnection, producer: KafkaProducer, topic_prefix: str
) -> None:
    send(producer, topic_prefix, range(10))
    send(producer, topic_prefix, range(10, 12), partition=1)
    start = Position(f"{topic_prefix}pairs.raw", 0, 8)

    assert sorted(read_ids(connection, start=[start])) == ["pair-10", "pair-11", "pair-8", "pair-9"]


@pytest.mark.integration
def test_reading_starts_at_a_time(kafka_connection: KafkaConnection) -> None:
    # Given a partition with older and newer records, and one whose records are all older
    prefix = kafka_connection.topic_prefix
    producer = KafkaProducer(**client_config(kafka_connection))
    send(producer, prefix, range(3))
    send(producer, prefix, range(20, 22), partition=1)
    time.sleep(0.05)
    start = datetime.now(UTC)
    send(producer, prefix, range(3, 5))
    producer.close()
    # When it is read from the time between them, then only the newer ones come
    assert read_ids(kafka_connection, start=start) == ["pair-3", "pair-4"]


def test_following_goes_on_after_the_end(
    connection: KafkaConnection, producer: KafkaProducer, topic_prefix: str
) -> None:
    send(producer, topic_prefix, range(1))
    with TopicReader(connection, [TOPIC], follow_until=threading.Event()) as reader:
        reading = iter(reader)
        assert next(reading).record == pair(0)

        send(producer, topic_prefix, range(1, 2))

        assert next(reading).record == pair(1)


def test_a_message_that_cannot_be_decoded_is_given_as_an_error(
    connection: KafkaConnection, producer: KafkaProducer, topic_prefix: str
) -> None:
    producer.send(topic_prefix + TOPIC.name, b"{", headers=[("key", b"value")], partition=0)
    producer.flush()

    with TopicReader(connection, [TOPIC]) as reader:
        (read,) = reader

    assert isinstance(read.record, MalformedRecordError)
    assert read.headers == [("key", b"value")]


def test_ends_count_every_record_of_the_last_batch(
    connection: KafkaConnection, producer: KafkaProducer, topic_prefix: str
) -> None:
    send(producer, topic_prefix, range(100))
    send(producer, topic_prefix, range(50))

    with TopicReader(connection, [TOPIC]) as reader:
        ends = reader.ends()

    topic = f"{topic_prefix}pairs.raw"
    assert ends == {(topic, 0): 150, (topic, 1): 0}


@pytest.mark.integration
def test_aborted_and_open_transactions_are_not_read(kafka_connection: KafkaConnection) -> None:
    prefix = kafka_connection.topic_prefix
    producer = KafkaProducer(**client_config(kafka_connection), transactional_id=f"{prefix}writer")
    producer.init_transactions()
    for first, commits in ((0, True), (10, False), (20, True)):
        producer.begin_transaction()
        send(producer, prefix, range(first, first + 3))
        if commits:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    producer.begin_transaction()
    send(producer, prefix, range(30, 33))

    found = read_ids(kafka_connection)

    assert found == [f"pair-{number}" for number in (0, 1, 2, 20, 21, 22)]
    producer.abort_transaction()
    producer.close()


@pytest.mark.integration
def test_a_log_that_ends_with_a_transaction_marker_is_read_to_its_end(
    kafka_connection: KafkaConnection,
) -> None:
    prefix = kafka_connection.topic_prefix
    producer = KafkaProducer(**client_config(kafka_connection), transactional_id=f"{prefix}writer")
    producer.init_transactions()
    producer.begin_transaction()
    send(producer, prefix, range(2))
    producer.commit_transaction()
    producer.close()

    with TopicReader(kafka_connection, [TOPIC]) as reader:
        assert len(list(reader)) == 2
        assert reader.ends()[f"{prefix}pairs.raw", 0] == 3


@pytest.mark.integration
def test_a_compacted_log_is_read_across_its_gaps_to_its_end(
    apache_kafka: ApacheKafka, topic_prefix: str
) -> None:
    connection = KafkaConnection(bootstrap=apache_kafka.bootstrap, topic_prefix=topic_prefix)
    name = topic_prefix + TOPIC.name
    with KafkaAdminClient(bootstrap_servers=apache_kafka.bootstrap) as admin:
        config = {"cleanup.policy": "compact", "segment.ms": 500, "min.cleanable.dirty.ratio": 0}
        settings = {key: str(value) for key, value in config.items()}
        admin.create_topics({name: {"num_partitions": 1, "configs": settings}})
    producer = KafkaProducer(**client_config(connection), transactional_id=f"{topic_prefix}w")
    producer.init_transactions()

    # The active segment is never compacted: go on until one before it was.
    deadline = time.monotonic() + 120
    sent = 0
    found: list[Read] = []
    while len(found) == sent and time.monotonic() < deadline:
        producer.begin_transaction()
        for number in range(5):
            producer.send(name, encode(pair(number)), key=b"%d" % number)
        producer.commit_transaction()
        sent += 5
        time.sleep(0.6)
        with TopicReader(connection, [TOPIC]) as reader:
            found = list(reader)
            end = reader.ends()[name, 0]
    producer.close()

    assert len(found) < sent
    assert [read.record for read in found[-5:]] == [pair(number) for number in range(5)]
    assert found[-1].position.offset == end - 2  # the last offset is the marker's


@pytest.mark.integration
def test_a_missing_topic_is_named(apache_kafka: ApacheKafka, topic_prefix: str) -> None:
    connection = KafkaConnection(bootstrap=apache_kafka.bootstrap, topic_prefix=topic_prefix)

    with (
        TopicReader(connection, [TOPIC]) as reader,
        pytest.raises(ReadError, match=r"no topic .*pairs\.raw: run `kaption topics create`"),
    ):
        list(reader)


def test_a_silent_address_is_an_error_that_names_it() -> None:
    with pytest.raises(ReadError, match=r"127\.0\.0\.1:9"):
        TopicReader(KafkaConnection(bootstrap="127.0.0.1:9"), [TOPIC], timeout_s=1)
