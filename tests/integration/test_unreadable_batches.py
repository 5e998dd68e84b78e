"""Batches in every codec, batches that nobody can read, and none at all, on Apache Kafka."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from kafka import KafkaProducer, TopicPartition

from faults import FaultProxy
from kaption.connections.errors import Fatal
from kaption.connections.kafka.clients import topic_consumer
from kaption.connections.kafka.unreadable import UnreadableBatch
from kaption.consumers import ReadError, TopicReader
from kaption.schemas import DeadLetter, Topic
from kaption.schemas.topics import CLEAN, DEAD, RAW
from kaption.schemas.wire import UNREADABLE_HEADER
from kaption.workers.replay import Selection, replayable
from support.damaged_log import (
    DamagedLog,
    claim_codec,
    cut_a_record,
    flip_a_record_byte,
    flip_the_end,
    flip_the_length,
    flip_the_offset,
    flip_the_version,
    move,
)
from support.engine import PARTITIONS, POLICY, Stream, Toy, running, until
from support.program import kaption
from support.topics import environment, with_topics
from tools.servers import ApacheKafka

pytestmark = pytest.mark.integration

CODECS = (None, "gzip", "snappy", "lz4", "zstd")
GZIP = 1
DAMAGES = [flip_a_record_byte, flip_the_end, claim_codec(7), claim_codec(GZIP), cut_a_record]
NAMES = ["crc", "end", "unknown codec", "wrong codec", "cut record"]
EACH = 4
"""Records of a batch. `produce` deals a round of batches to the partitions."""
ROUND = EACH * PARTITIONS
BAD = 1
"""The partition that is damaged, in its second batch."""
LIMITED = POLICY.model_copy(update={"rebuild_limit_s": 6.0})
PASSING = POLICY.model_copy(update={"pass_over_unreadable": True})

Damage = Callable[[bytearray], None]


@pytest.fixture(params=DAMAGES, ids=NAMES)
def damaged(apache_kafka: ApacheKafka, stream: Stream, request: pytest.FixtureRequest) -> Stream:
    """Three batches in each partition, one of which is damaged."""
    for _ in range(3):
        stream.produce(["text"] * ROUND)
    DamagedLog(apache_kafka.folder, stream.prefix + RAW.name, BAD).change(EACH, request.param)
    return stream


def test_batches_in_every_codec_are_read(stream: Stream) -> None:
    for codec in CODECS:
        stream.produce(["text"] * ROUND, codec)
    with running(Toy(), stream) as worker:
        assert until(lambda: worker.records == stream.produced, 60)
    assert stream.outcomes() == stream.expected()


def test_a_batch_that_cannot_be_read_holds_its_partition_alone_and_ends_the_worker(
    damaged: Stream,
) -> None:
    # Given one damaged batch; when a worker meets it, before and after a restart
    for _ in range(2):
        with running(Toy(), damaged, LIMITED) as worker:
            assert until(lambda: "cannot be read" in (worker.worker.not_ready() or ""), 30)
            # Then the others go on, also with what comes later
            damaged.produce(["text"] * ROUND)
            assert until(lambda: _others_are_done(damaged), 60)
            # And the worker is not ready, and ends with the place and with what to do
            assert until(lambda: worker.error is not None, 60)
        told = str(worker.error)
        assert isinstance(worker.error, Fatal)
        assert f"{RAW.name}/{BAD} cannot be read at offset " in told
        assert "make another replica the leader" in told
        assert "\n" not in told


def test_the_setting_passes_over_to_a_dead_letter_with_the_bytes(damaged: Stream) -> None:
    with running(Toy(), damaged, PASSING) as worker:
        assert until(lambda: damaged.lag() == 0, 60), worker.error
        assert worker.worker.not_ready() is None
    # Then every other record has its outcome, and the letter says which records are in the batch
    with TopicReader(damaged.connection, [DEAD]) as reader:
        (read,) = reader
    letter = read.record
    assert isinstance(letter, DeadLetter)
    # A batch is no record, so no replay publishes it as one.
    assert replayable(read, Selection(DEAD), damaged.prefix) is None
    (header,) = letter.headers
    first, last = (int(each) for each in (header.value or b"").split(b"-"))
    assert (letter.partition, letter.offset, header.key) == (BAD, last, UNREADABLE_HEADER)
    assert (letter.value or b"")[:8] == EACH.to_bytes(8)
    origins = {f"{damaged.prefix}{RAW.name}/{BAD}/{each}" for each in range(first, last)}
    assert first in range(EACH, 2 * EACH)
    assert last == 2 * EACH - 1
    expected = damaged.expected()
    assert damaged.outcomes() == {key: 1 for key in expected if key not in origins}


@pytest.mark.parametrize("damage", [flip_the_length, flip_the_offset, flip_the_version])
def test_damage_that_no_checksum_shows_ends_the_worker_as_well(
    apache_kafka: ApacheKafka, stream: Stream, damage: Damage
) -> None:
    for _ in range(3):
        stream.produce(["text"] * ROUND)
    DamagedLog(apache_kafka.folder, stream.prefix + RAW.name, BAD).change(EACH, damage)
    # When a worker meets it, even if it may pass over; then it ends with the place
    policy = LIMITED.model_copy(update={"pass_over_unreadable": True})
    with running(Toy(), stream, policy) as worker:
        assert until(lambda: "cannot be read" in (worker.worker.not_ready() or ""), 30)
        assert until(lambda: worker.error is not None, 60)
    assert f"{RAW.name}/{BAD} cannot be read at offset {EACH}: " in str(worker.error)
    assert _others_are_done(stream)


@pytest.mark.parametrize("by", [-3, 3, 1000])
def test_a_wrong_offset_of_the_last_batch_ends_the_worker(
    apache_kafka: ApacheKafka, stream: Stream, by: int
) -> None:
    # Given a partition whose last batch claims another place, which no checksum shows
    for _ in range(2):
        stream.produce(["text"] * ROUND)
    DamagedLog(apache_kafka.folder, stream.prefix + RAW.name, BAD).change(EACH, move(by))
    # When a worker reads it, even if it may pass over; then it ends with the place
    policy = LIMITED.model_copy(update={"pass_over_unreadable": True})
    with running(Toy(), stream, policy) as worker:
        assert until(lambda: worker.error is not None, 60)
    # One answer with both batches blames the first: nothing tells which of the two is wrong.
    places = [f"{RAW.name}/{BAD} cannot be read at offset {each}: " for each in (0, EACH)]
    assert any(place in str(worker.error) for place in places)
    assert max(stream.outcomes().values()) == 1
    assert _others_are_done(stream)


@pytest.mark.parametrize("followed", [False, True])
@pytest.mark.parametrize("by", [-3, -1, 1, 4, 9, 1000])
def test_a_reader_notices_a_wrong_offset_in_what_comes_later(
    apache_kafka: ApacheKafka, stream: Stream, by: int, followed: bool
) -> None:
    # Given a consumer that has read a partition to its end, and asks for nothing now
    stream.produce(["text"] * ROUND)
    partition = TopicPartition(stream.prefix + RAW.name, BAD)
    consumer = topic_consumer(stream.connection, 10)
    consumer.assign([partition])
    read: list[int] = []

    def poll() -> bool:
        read.extend(each.offset for each in consumer.poll(200).get(partition, ()))
        return len(read) >= EACH

    assert until(poll)
    consumer.pause(partition)
    consumer.poll(1000)
    # When the next batch claims another place, with batches behind it or alone
    stream.produce(["text"] * ROUND)
    DamagedLog(apache_kafka.folder, *partition).change(EACH, move(by))
    if followed:
        stream.produce(["text"] * ROUND)
    consumer.resume(partition)
    # Then it gives none of its records, or says where it cannot go on
    read.clear()
    with suppress(UnreadableBatch):
        until(poll, 3)
    consumer.close()
    assert not read


def test_a_batch_whose_end_nobody_can_tell_is_not_passed_over(
    apache_kafka: ApacheKafka, stream: Stream
) -> None:
    stream.produce(["text"] * ROUND)
    DamagedLog(apache_kafka.folder, stream.prefix + RAW.name, BAD).change(0, flip_the_end)
    policy = LIMITED.model_copy(update={"pass_over_unreadable": True})
    with running(Toy(), stream, policy) as worker:
        assert until(lambda: worker.error is not None, 60)
    assert f"{RAW.name}/{BAD} cannot be read at offset 0:" in str(worker.error)


def test_a_reader_ends_with_one_line_that_names_the_place(damaged: Stream) -> None:
    with TopicReader(damaged.connection, [RAW]) as reader, pytest.raises(ReadError) as raised:
        list(reader)
    assert f"{RAW.name}/{BAD} cannot be read at offset " in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("topic", "arguments"),
    [
        (DEAD, "status --interval 0.1"),
        (DEAD, "replay dead --yes"),
        (RAW, "replay raw --yes"),
        (CLEAN, "takedown https://example.org/a --dry-run"),
        (CLEAN, "consume OUT"),
    ],
)
def test_a_command_that_reads_a_damaged_topic_ends_with_one_line(
    apache_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path, topic: Topic, arguments: str
) -> None:
    # Given a damaged batch
    connection = with_topics(apache_kafka.bootstrap, topic_prefix)
    producer = KafkaProducer(bootstrap_servers=apache_kafka.bootstrap)
    producer.send(topic_prefix + topic.name, b"x" * 50, b"key", partition=1).get(10)
    producer.close()
    log = DamagedLog(apache_kafka.folder, topic_prefix + topic.name, 1)
    log.change(0, flip_a_record_byte)
    # When a command reads the topic
    settings = {**environment(connection), "KAPTION_STORE__URL": str(tmp_path)}
    ended = kaption(*arguments.split(), settings=settings, cwd=tmp_path)
    # Then it ends with the place and with what to do
    assert ended.returncode == 1, ended
    (told,) = [line for line in ended.stderr.splitlines() if line.startswith("kaption: ")]
    assert f"{topic_prefix}{topic.name}/1 cannot be read at offset 0" in told
    assert "kafka-delete-records" in told
    assert "Traceback" not in ended.stderr


def test_empty_partitions_that_come_back_to_a_frozen_member_are_known_to_be_empty(
    apache_kafka: ApacheKafka, topic_prefix: str
) -> None:
    patient = POLICY.model_copy(update={"request_timeout_s": 30.0})
    with ExitStack() as block:
        # Given a member with partitions that hold nothing
        proxy = block.enter_context(
            FaultProxy(port=apache_kafka.proxy_port, target=apache_kafka.proxied_port)
        )
        stream = Stream(apache_kafka.proxy_bootstrap, topic_prefix)
        worker = block.enter_context(running(Toy(), stream, patient)).worker
        assert until(lambda: worker.not_ready() is None, 60)
        session = worker._session
        assert session is not None
        assert until(lambda: len(session.ownership.owned) == PARTITIONS and session.caught_up, 60)
        consumer, changes = session.consumer, session.ownership.changes
        # When nothing of it reaches the group for longer than a session, and it joins again
        proxy.freeze()
        time.sleep(POLICY.session_timeout_s + 3)
        proxy.restore()
        assert until(lambda: session.ownership.changes >= changes + 2 * PARTITIONS, 60)
        # Then it knows that nothing waits in them, long before they would be called unreadable
        assert until(lambda: len(session.ownership.owned) == PARTITIONS and session.caught_up, 30)
        assert until(lambda: worker.not_ready() is None, 30)
        assert session.consumer is consumer


def _others_are_done(stream: Stream) -> bool:
    def others(origins: Iterable[str]) -> set[str]:
        return {each for each in origins if f"{RAW.name}/{BAD}/" not in each}

    return others(stream.outcomes()) == others(stream.expected())
