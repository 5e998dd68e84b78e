"""`kaption pair`: what topics, shards, takedowns and Redis know about one pair."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaProducer
from typer.testing import CliRunner, Result

from kaption.connections.kafka.partitioner import partition_of
from kaption.consumers import Read, TopicReader
from kaption.objectstore import open_store
from kaption.schemas import (
    CleanPair,
    DeadLetter,
    ImageSource,
    Position,
    RawPair,
    Reason,
    RejectedPair,
    TakedownKind,
    encode,
)
from kaption.schemas.topics import CLEAN, DEAD, RAW, REJECTED
from kaption.testing.records import incoming
from kaption.workers.audit.decision import Verdict
from kaption.workers.cli.app import app
from kaption.workers.local import Tansu
from kaption.workers.runtime.stage import Incoming
from kaption.workers.settings import UserError
from kaption.workers.stores.client import connect_redis
from kaption.workers.stores.dedup import Dedup
from kaption.workers.takedown.withdraw import withdraw
from support.auditing import AuditSite, audit_site
from support.sink_records import done, now, open_sink, run
from support.stream_records import take_down

pytestmark = pytest.mark.slow

Kaption = Callable[..., Result]
HOSTILE = "\x1b[2J\x9b31m evil\u202e text\r\n" + "w" * 5000


@pytest.fixture
def site(tansu: Tansu, topic_prefix: str, redis_url: str, tmp_path: Path) -> AuditSite:
    return audit_site(tansu.bootstrap, topic_prefix, redis_url, tmp_path)


@pytest.fixture
def kaption(site: AuditSite) -> Kaption:
    variables = site.environment

    def command(*words: str, **changed: str) -> Result:
        # In this process: a start of Python takes seconds on a busy machine.
        return CliRunner().invoke(app, words, env=variables | changed)

    return command


def raw(pair_id: str, **changed: object) -> RawPair:
    image = ImageSource(url="http://example.org/a.jpg")
    pair = RawPair(pair_id=pair_id, text="alt", image=image, source="crawl")
    return pair.model_copy(update=changed)


def sink_all(site: AuditSite, folder: Path) -> None:
    """Write every message of pairs.clean into a shard of its partition."""
    objects, spool = open_store(site.settings.store), folder / "spool"
    with TopicReader(site.settings.kafka, [CLEAN]) as reader:
        reads = [read for read in reader if isinstance(read.record, CleanPair)]
    sink = open_sink(objects, spool, "w1")
    for partition in {read.position.partition for read in reads}:
        batch = [_incoming(it) for it in reads if it.position.partition == partition]
        sink.resume(reads[0].position.topic, partition, 0)
        assert done(run(sink, batch))
    sink.close()


def _incoming(read: Read) -> Incoming[CleanPair]:
    assert isinstance(read.record, CleanPair)
    place = read.position
    return incoming(read.record, place.offset, place.partition, place.topic)


def test_all_places_that_know_a_pair_are_told_in_the_order_of_time(
    site: AuditSite, kaption: Kaption, tmp_path: Path
) -> None:
    # Given a pair that was published, kept, corrected, written, taken down and withdrawn
    site.send(RAW, raw("pair-1"))
    pair = site.publish(1)
    _send_older(site)
    site.publish(2)
    with site.desk() as desk:
        desk.decide("ana", "pair-1", Verdict.EDIT, desk.seen("pair-1", "ana"), text="a red dot")
    sink_all(site, tmp_path)
    objects = open_store(site.settings.store)
    take_down(objects, TakedownKind.SHA256, pair.image.original_sha256)
    kafka, redis = site.settings.kafka, site.settings.redis
    withdraw(kafka, CLEAN, [(partition_of(b"pair-1", 2), "pair-1")])
    dedup = Dedup(connect_redis(redis), redis.key_prefix, site.settings.ingest.dedup)
    dedup.claim_exact([pair.image.original_sha256], [Position.parse(pair.dedup.owner)])
    # When its life is asked for
    ended = kaption("pair", "pair-1", "--json")
    # Then every place tells its part
    assert ended.exit_code == 0, ended.stderr
    life = json.loads(ended.stdout)
    told = [event["what"] for event in life["events"]]
    assert sorted(told) == sorted(
        [
            *(
                "published",
                "rejected by ingest: too_small",
                "clean, version 1",
                "sampled for the audit",
            ),
            *("corrected by ana in the audit", "clean, version 2"),
            *("version 1 written into a shard", "version 2 written into a shard"),
            *("taken down by sha256", "withdrawn by a tombstone"),
        ]
    )
    times = [event["at"] for event in life["events"]]
    assert times == sorted(times)
    assert life["redis"]["claims"] == {pair.image.original_sha256: pair.dedup.owner}
    people = kaption("pair", "pair-1").stdout
    assert "a red dot" in people
    assert "pair-2" not in people
    # And without the store and Redis, what the topics know is told with a note
    away = kaption("pair", "pair-1", KAPTION_REDIS__URL="redis://127.0.0.1:1/0")
    assert away.exit_code == 0
    assert "corrected by ana" in away.stdout
    assert "note: what Redis holds is not known now" in away.stderr


def _send_older(site: AuditSite) -> None:
    """Send a rejection whose origin lacks the topic's id, as an older version wrote it."""
    kafka = site.settings.kafka
    name, number = f"{kafka.topic_prefix}{RAW.name}", partition_of(b"pair-1", 2)
    rejected = RejectedPair(
        pair_id="pair-1",
        stage="ingest",
        reason=Reason.TOO_SMALL,
        rejected_at=now(),
        record_schema="RawPair/1",
        record={},
    )
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    headers = [("kaption-origin", f"{name}/{number}/0".encode())]
    topic = kafka.topic_prefix + REJECTED.name
    producer.send(topic, encode(rejected), key=b"pair-1", headers=headers)
    producer.close()


def test_a_rejected_pair_is_told_although_its_texts_would_steer_a_terminal(
    site: AuditSite, kaption: Kaption
) -> None:
    name = 'pair "é" \u202e x'
    pair = raw(name, text=HOSTILE)
    site.send(RAW, pair)
    rejected = RejectedPair(
        pair_id=name,
        stage="ingest",
        reason=Reason.TOO_SMALL,
        detail="48x48",
        rejected_at=now(),
        record_schema="RawPair/1",
        record=pair.model_dump(mode="json"),
    )
    site.send(REJECTED, rejected)

    ended = kaption("pair", name)

    assert ended.exit_code == 0, ended.stderr
    assert "rejected by ingest: too_small" in ended.stdout
    assert not {"\x1b", "\x9b", "\u202e"} & set(ended.stdout)
    assert len(max(ended.stdout.splitlines(), key=len)) < 500
    # A name that is only a part of it, or holds it, is another pair
    for other in ("x", "pair", f"{name}2"):
        unknown = kaption("pair", other)
        assert unknown.exit_code == 1
        assert isinstance(unknown.exception, UserError)
        assert str(unknown.exception).startswith("no topic, shard or store knows a pair")
        assert len(str(unknown.exception).splitlines()) == 1


def test_keys_of_other_producers_and_dead_letters_are_found(
    site: AuditSite, kaption: Kaption
) -> None:
    kafka = site.settings.kafka
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    wrong = 1 - partition_of(b"foreign", 2)
    value = json.dumps({"pair_id": "foreign", "text": "x", "image": {"url": "http://e.org/a"}})
    for number in range(20):
        producer.send(kafka.topic_prefix + RAW.name, b"{}", key=b"%d" % number)
    producer.send(kafka.topic_prefix + RAW.name, value.encode(), partition=wrong)
    producer.flush()
    found = kaption("pair", "foreign")
    assert "published" in found.stdout, found.stderr
    letter = DeadLetter(
        topic=kafka.topic_prefix + RAW.name,
        partition=wrong,
        offset=0,
        timestamp_ms=0,
        key=None,
        value=value.encode(),
        stage="ingest",
        error="boom",
        attempts=2,
        died_at=now(),
    )
    producer.send(kafka.topic_prefix + DEAD.name, encode(letter))
    # A record whose origin is in a topic that was deleted, or in a partition that is no more
    lost = encode(raw("lost"))
    for number, origin in enumerate((f"0/3/{'A' * 22}", "77/3", "0/9999999")):
        headers = [("kaption-origin", f"{kafka.topic_prefix}{RAW.name}/{origin}".encode())]
        name = kafka.topic_prefix + REJECTED.name
        producer.send(name, lost, key=b"lost", headers=headers, partition=number % 2)
    producer.close()
    assert "unreadable" in kaption("pair", "lost").stdout
    found = kaption("pair", "foreign", "--all-partitions")
    assert "died in ingest after 2 tries" in found.stdout, found.stderr
    bounded = kaption("pair", "foreign", "--all-partitions", "--most", "1")
    assert "only the newest 1 offsets were read" in bounded.stderr
