"""`kaption replay`: rejections and dead letters go through their stage again, unchanged."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

import pytest
from kafka import KafkaProducer

from kaption.connections.settings import KafkaConnection
from kaption.consumers import Read, TopicReader
from kaption.schemas import (
    DeadLetter,
    OriginalHeader,
    RawPair,
    Reason,
    RejectedPair,
    Topic,
    Versioned,
    encode,
    header,
    headers_of,
)
from kaption.schemas.topics import DEAD, INGESTED, RAW, REJECTED
from kaption.schemas.wire import ORIGIN_HEADER
from kaption.testing.records import raw_pair
from support.program import kaption
from support.topics import environment, with_topics
from tools.servers import ApacheKafka

pytestmark = pytest.mark.integration
Command = Callable[..., subprocess.CompletedProcess[str]]
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def kafka(apache_kafka: ApacheKafka, topic_prefix: str) -> KafkaConnection:
    return with_topics(apache_kafka.bootstrap, topic_prefix)


@pytest.fixture
def replay(kafka: KafkaConnection) -> Command:
    return partial(kaption, "replay", settings=environment(kafka))


def put(
    kafka: KafkaConnection,
    topic: Topic,
    records: Sequence[Versioned],
    origin: str | None = None,
    hours_ago: float = 0,
) -> None:
    """Send records with the origins `origin`/0, `origin`/1 and so on, or without origins."""
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, linger_ms=20)
    at_ms = round((time.time() - 3600 * hours_ago) * 1000)
    for number, record in enumerate(records):
        headers = headers_of(record)
        if origin is not None:
            headers.append((ORIGIN_HEADER, f"{origin}/{number}".encode()))
        name = kafka.topic_prefix + topic.name
        producer.send(
            name, encode(record), headers=headers, partition=number % 2, timestamp_ms=at_ms
        )
    producer.close()


def read(kafka: KafkaConnection, topic: Topic) -> list[Read]:
    with TopicReader(kafka, [topic]) as reader:
        return list(reader)


def pair_ids(kafka: KafkaConnection) -> list[str]:
    """The ids of the messages in pairs.raw."""
    return [pair.pair_id for _, pair, _ in read(kafka, RAW) if isinstance(pair, RawPair)]


def raw(number: int) -> RawPair:
    return raw_pair(number, text="text")


def letter(kafka: KafkaConnection, number: int, error: str, stage: str = "ingest") -> DeadLetter:
    topic = RAW if stage == "ingest" else INGESTED
    return DeadLetter(
        topic=kafka.topic_prefix + topic.name,
        partition=1,
        offset=number,
        timestamp_ms=5,
        key=b"key",
        value=encode(raw(number)),
        headers=(OriginalHeader(key="x", value=b"\xff"),),
        stage=stage,
        error=error,
        attempts=3,
        died_at=NOW,
    )


def refused(number: int, reason: Reason, stage: str = "ingest") -> RejectedPair:
    return RejectedPair(
        pair_id=f"pair-{number}",
        stage=stage,
        reason=reason,
        rejected_at=NOW,
        record_schema=RawPair.schema_name(),
        record=raw(number).model_dump(mode="json", exclude_defaults=True),
    )


def test_dead_letters_are_replayed_byte_for_byte_and_once(
    kafka: KafkaConnection, replay: Command
) -> None:
    # Given dead letters of two stages, one of them without its original bytes
    lost = letter(kafka, 9, "gone").model_copy(update={"value": None})
    letters = [letter(kafka, 0, "a bug"), letter(kafka, 1, "other"), lost]
    put(kafka, DEAD, [*letters, letter(kafka, 2, "a bug", "score")], "letters/0")
    # When the ones with one error are counted and then replayed twice
    counted = replay("dead", "--reason", "bug", "--stage", "ingest", "--dry-run")
    assert counted.stdout == "1 from pairs.dead to pairs.raw\n", counted.stderr
    assert read(kafka, RAW) == []
    for _ in range(2):
        assert replay("dead", "--reason", "bug", "--stage", "ingest").returncode == 0
    # Then each message is back once, with its bytes, headers and origin
    (found,) = read(kafka, RAW)
    assert found.record == raw(0)
    assert header(found.headers, ORIGIN_HEADER) == f"{kafka.topic_prefix}pairs.raw/1/0"
    assert ("x", b"\xff") in found.headers
    # And all others go back to their topic
    rest = replay("dead")
    assert "1 cannot be replayed" in rest.stdout
    assert len(read(kafka, RAW)) == 3
    assert len(read(kafka, INGESTED)) == 1


def test_rejections_with_a_reason_are_replayed_with_their_origin(
    kafka: KafkaConnection, replay: Command
) -> None:
    reasons = [Reason.FETCH_STATUS, Reason.TOO_SMALL, Reason.FETCH_STATUS]
    rejections = [refused(number, reason) for number, reason in enumerate(reasons)]
    put(kafka, REJECTED, rejections, "first/7")
    ended = replay("rejected", "--reason", "fetch_status", "--since", "2h")
    assert ended.returncode == 0, ended.stderr
    assert "2 records published to pairs.raw" in ended.stdout
    found = {header(each.headers, ORIGIN_HEADER): each.record for each in read(kafka, RAW)}
    assert found == {"first/7/0": raw(0), "first/7/2": raw(2)}


def test_older_messages_are_replayed_later_and_none_twice(
    kafka: KafkaConnection, replay: Command
) -> None:
    # Given old and new dead letters, of which the new ones were replayed
    put(kafka, DEAD, [letter(kafka, n, "bug") for n in range(4)], "letters/0", hours_ago=10)
    put(kafka, DEAD, [letter(kafka, n, "bug") for n in range(4, 7)], "letters/0")
    assert "3 records published" in replay("dead", "--since", "1h").stdout
    # When a replay starts from an earlier time
    assert "nothing to replay" in replay("dead", "--since", "2h").stdout
    assert "4 records published" in replay("dead", "--since", "12h").stdout
    # Then each was replayed once, and a newer letter is found with either time
    put(kafka, DEAD, [letter(kafka, 7, "bug")], "letters/0")
    assert "1 records published" in replay("dead", "--since", "1h").stdout
    assert "nothing to replay" in replay("dead").stdout
    assert sorted(pair_ids(kafka)) == [f"pair-{number}" for number in range(8)]


def test_since_is_respected_after_an_earlier_run(kafka: KafkaConnection, replay: Command) -> None:
    put(kafka, DEAD, [letter(kafka, 0, "bug")], "letters/0", hours_ago=30)
    assert "1 records published" in replay("dead").stdout
    put(kafka, DEAD, [letter(kafka, 1, "bug")], "letters/0", hours_ago=20)
    put(kafka, DEAD, [letter(kafka, 2, "bug")], "letters/0")
    assert "1 records published" in replay("dead", "--since", "1h").stdout


def test_a_replay_is_not_faster_than_the_given_rate(
    kafka: KafkaConnection, replay: Command
) -> None:
    stages = ["ingest", "select", "ingest", "ingest"]
    put(kafka, REJECTED, [refused(n, Reason.TOO_SMALL, s) for n, s in enumerate(stages)], "first/0")
    began = time.monotonic()
    ended = replay("rejected", "--stage", "ingest", "--rate", "0.5")
    assert "3 records published" in ended.stdout, ended.stderr
    assert time.monotonic() - began >= 4  # from the first to the third
    assert sorted(pair_ids(kafka)) == ["pair-0", "pair-2", "pair-3"]


@pytest.mark.parametrize("option", ["--reason", "--stage"])
def test_raw_pairs_cannot_be_selected_by_stage_or_reason(replay: Command, option: str) -> None:
    ended = replay("raw", option, "ingest")
    assert ended.returncode == 1
    assert "choose raw pairs by --since" in ended.stderr


def test_raw_pairs_are_replayed_without_older_ones_and_without_replays(
    kafka: KafkaConnection, replay: Command
) -> None:
    put(kafka, RAW, [raw(0), raw(1)])
    first = {str(each.position) for each in read(kafka, RAW)}
    assert "nothing to replay" in replay("raw", "--since", "2999-01-01").stdout
    assert replay("raw").returncode == 0
    assert "nothing to replay" in replay("raw").stdout
    assert replay("raw", "--from-start").returncode == 0
    origins = Counter(header(each.headers, ORIGIN_HEADER) for each in read(kafka, RAW))
    assert origins == {None: 2} | dict.fromkeys(first, 2)


def test_a_large_replay_asks_first(kafka: KafkaConnection, replay: Command) -> None:
    put(kafka, RAW, [raw(number) for number in range(10_001)])
    ended = replay("raw")
    assert ended.returncode == 1
    assert "10001 records are not replayed" in ended.stderr
    assert len(read(kafka, RAW)) == 10_001


@pytest.mark.parametrize("since", ["yesterday", "5 h", "2026-13-01"])
def test_an_invalid_time_is_an_error(replay: Command, since: str) -> None:
    ended = replay("dead", "--since", since)
    assert ended.returncode == 1
    assert "give an age" in ended.stderr
