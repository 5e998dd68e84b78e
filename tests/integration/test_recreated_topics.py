"""Topics that were deleted and created again: the same names and offsets, but other messages."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kafka import OffsetAndMetadata, TopicPartition

from kaption.connections.errors import Fatal
from kaption.connections.kafka.clients import group_offsets, topic_consumer
from kaption.connections.kafka.internals import fetch_by_id, take_doubt
from kaption.connections.kafka.topic_ids import TopicIds
from kaption.connections.settings import KafkaConnection
from kaption.consumers import TopicReader
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.index import last_manifests
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.folder import FolderStore
from kaption.schemas import (
    DeadLetter,
    IngestedPair,
    Position,
    RawPair,
    Reason,
    RejectedPair,
)
from kaption.schemas.topics import CLEAN, DEAD, INGESTED, RAW, REJECTED
from kaption.testing.records import raw_pair
from kaption.workers.decode.pool import DecodePool
from kaption.workers.demo.site import Page, Site
from kaption.workers.policy.ingest import IngestPolicy
from kaption.workers.policy.outputs import SinkPolicy
from kaption.workers.runtime import session
from kaption.workers.stages.sink.stage import SinkStage
from support.engine import ECHO, Running, Stream, Toy, running, until
from support.ingest_bench import Bench, image_bytes, linked, raw
from support.recreated import clean, create, recreate, send
from support.sink_records import offsets_in, stored

pytestmark = pytest.mark.integration


@pytest.fixture
def objects(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def echoed(stream: Stream) -> list[str]:
    """The pair_ids that the toy stage has emitted, in order."""
    with TopicReader(stream.connection, [ECHO]) as reader:
        return sorted(read.record.pair_id for read in reader if isinstance(read.record, RawPair))


def names(first: int, last: int) -> list[str]:
    return sorted(raw_pair(number).pair_id for number in range(first, last))


@pytest.mark.parametrize(("new", "by_id"), [(9, True), (30, True), (90, True), (90, False)])
def test_a_running_worker_stops_and_the_next_one_reads_the_new_topic_from_its_start(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, new: int, by_id: bool
) -> None:
    if not by_id:  # as brokers before Kafka 3.1 do
        monkeypatch.setattr(session, "fetch_by_id", lambda consumer, topic_id: None)
    # Given a worker that has read a topic to its end
    stream.produce(["old"] * 30)
    with running(Toy(), stream) as worker:
        assert until(lambda: worker.records == 30)
        # When the topic is created again, with fewer, as many, or more messages
        recreate(stream.connection, RAW)
        stream.produce(["new"] * new)
        assert until(lambda: worker.error is not None)
    # Then it says so, and its successor emits each new record
    assert isinstance(worker.error, Fatal)
    assert "pairs.raw was deleted and created again" in str(worker.error)
    with running(Toy(), stream) as successor:
        assert until(lambda: successor.records >= new)
        assert until(lambda: stream.lag() == 0)
    assert echoed(stream) == names(0, 30 + new)


def test_a_worker_that_did_not_poll_meanwhile_takes_no_new_record_for_an_old_one(
    stream: Stream,
) -> None:
    # Given a worker that holds all it may while its stage is busy
    stage, gate = Toy(records=4), threading.Event()

    def wait(texts: Sequence[str]) -> None:
        gate.wait(60)

    stage.before = wait
    stream.produce(["old"] * 12)
    with running(stage, stream) as worker:
        assert until(lambda: bool(stage.sizes))
        # When the topic is created again, and only then the stage goes on
        recreate(stream.connection, RAW)
        stream.produce(["new"] * 60)
        gate.set()
        assert until(lambda: worker.error is not None)
    # Then its successor starts at the new topic's start, whatever offsets it had committed
    with running(Toy(), stream):
        assert until(lambda: set(names(12, 72)) <= set(echoed(stream)))
    assert Counter(echoed(stream)).most_common(1)[0][1] == 1


def test_a_fetch_for_one_topic_id_gives_no_record_of_another(stream: Stream) -> None:
    # Given a consumer that fetches for the id of a topic
    stream.produce(["old"] * 12)
    name = stream.prefix + RAW.name
    ids = TopicIds(stream.connection, 10)
    ids.check([name])
    consumer = topic_consumer(stream.connection, 10)
    fetch_by_id(consumer, ids.uuid)
    consumer.assign([TopicPartition(name, number) for number in range(3)])
    assert until(lambda: bool(consumer.poll(100)))
    assert not take_doubt(consumer)
    # When another topic takes its name, and holds more
    recreate(stream.connection, RAW)
    stream.produce(["new"] * 60)
    found: list[object] = []

    def doubted() -> bool:
        found.extend(consumer.poll(100))
        return take_doubt(consumer)

    assert until(doubted)
    consumer.close()
    ids.close()
    # Then the consumer gives nothing, and doubts the topic
    assert not found


@pytest.mark.parametrize(("metadata", "start"), [("A" * 22, 0), ("", 2)])
def test_an_offset_that_was_committed_for_an_earlier_topic_is_no_start(
    stream: Stream, metadata: str, start: int
) -> None:
    # Given offsets that name another topic id, as a commit that comes late leaves them; or none
    stream.produce(["text"] * 12)
    consumer = group_offsets(stream.connection, stream.prefix + "toy", 10, stable=True)
    consumer.commit(
        {
            TopicPartition(stream.prefix + RAW.name, number): OffsetAndMetadata(2, metadata, -1)
            for number in range(3)
        }
    )
    consumer.close()
    # When a worker starts
    with running(Toy(), stream):
        assert until(lambda: stream.lag() == 0)
    # Then it begins at the start, or where the offset without an id says
    assert echoed(stream) == names(3 * start, 12)


def test_ingest_gives_new_records_their_own_images_and_claims(
    kafka: KafkaConnection, redis_url: str, tmp_path: Path
) -> None:
    create(kafka, RAW, INGESTED, REJECTED, DEAD)
    pages: dict[str, Page] = {}

    def ingest(seeds: list[int]) -> None:
        """Publish URLs that show the images of these seeds, and inline copies of the last."""
        for number, seed in enumerate(seeds):
            pages[f"/{number}.png"] = Page(image_bytes(seed), "image/png")
        linked_ = [linked(f"{site.url}/{n}.png", n).record for n in range(len(seeds))]
        send(kafka, RAW, [*linked_, raw(image_bytes(seeds[-1]), len(seeds)).record])
        with DecodePool(IngestPolicy().image, 1) as pool:
            bench = Bench.opened(redis_url, tmp_path, pool)
            made = Running(bench.stage(), kafka)
            try:
                assert until(lambda: made.records == len(seeds) + 1, 60)
            finally:
                made.stop()

    with Site(pages) as site:
        # Given a topic that was ingested, and then created again with other images at its URLs
        ingest([1, 2, 3])
        recreate(kafka, RAW)
        ingest([11, 12, 3])
    with TopicReader(kafka, [INGESTED, REJECTED]) as reader:
        found = [read.record for read in reader]
    # Then each new record has its own image; one that shows an old image is a duplicate
    pairs = [each for each in found if isinstance(each, IngestedPair)]
    assert len({pair.image.original_sha256 for pair in pairs}) == len(pairs) == 5
    assert len({pair.dedup.owner for pair in pairs}) == 5
    assert len({pair.dedup.owner.rpartition("/")[2] for pair in pairs}) == 2
    refused = [each.reason for each in found if isinstance(each, RejectedPair)]
    assert refused == [Reason.DUPLICATE] * 3


def sink(objects: FolderStore, tmp_path: Path, prefix: str = "dataset") -> SinkStage:
    policy = SinkPolicy(spool=str(tmp_path), prefix=prefix, shard_records=3, shard_age_s=0.5)
    return SinkStage(policy, objects, BlobStore(objects), now=lambda: datetime.now(UTC))


def written(
    kafka: KafkaConnection, stage: SinkStage, done: Callable[[], bool]
) -> BaseException | None:
    """Run a sink until something is done or it fails; return its error."""
    worker = Running(stage, kafka)
    assert until(lambda: done() or worker.error is not None, 60)
    worker.stop()
    return worker.error


@pytest.mark.parametrize("new", [6, 25, 75])
def test_a_sink_refuses_the_shards_of_an_earlier_topic_and_writes_all_below_a_new_prefix(
    kafka: KafkaConnection, objects: FolderStore, tmp_path: Path, new: int
) -> None:
    # Given shards of a topic that is created again, with other pairs at the same offsets
    create(kafka, CLEAN, REJECTED, DEAD)
    send(kafka, CLEAN, clean(objects, range(25)))
    stage = sink(objects, tmp_path)
    assert written(kafka, stage, lambda: len(offsets_in(objects)) == 25) is None
    recreate(kafka, CLEAN)
    send(kafka, CLEAN, clean(objects, range(100, 100 + new)))
    # When a sink starts
    error = written(kafka, sink(objects, tmp_path), lambda: False)
    # Then it stops with one line, and nothing is written or taken for written
    assert isinstance(error, Fatal)
    assert "earlier topic" in str(error)
    assert "give sink.prefix a new value" in str(error)
    assert len(str(error).splitlines()) == 1
    assert len(offsets_in(objects)) == 25
    # And below another prefix every new pair is written
    fresh = sink(objects, tmp_path, "second")
    assert written(kafka, fresh, lambda: len(offsets_in(objects, "second")) == new) is None


def test_a_sink_that_runs_stops_when_its_topic_is_created_again(
    kafka: KafkaConnection, objects: FolderStore, tmp_path: Path
) -> None:
    create(kafka, CLEAN, REJECTED, DEAD)
    send(kafka, CLEAN, clean(objects, range(12)))
    worker = Running(sink(objects, tmp_path), kafka)
    try:
        assert until(lambda: len(offsets_in(objects)) == 12, 60)
        # When the topic is created again under the sink, with more pairs than before
        recreate(kafka, CLEAN)
        send(kafka, CLEAN, clean(objects, range(100, 160)))
        assert until(lambda: worker.error is not None, 60)
    finally:
        worker.stop()
    # Then it stops, and no shard mixes the two
    assert "deleted and created again" in str(worker.error)
    assert len(offsets_in(objects)) == 12
    assert len({each.topic_id for each in read_manifests(objects, "dataset")}) == 1


def test_a_sink_with_no_shard_in_its_partition_begins_no_second_topic(
    objects: FolderStore, tmp_path: Path
) -> None:
    # Given shards of one partition
    stage = sink(objects, tmp_path)
    stage.setup()
    stage.resume(CLEAN.name, 0, 0, "a" * 22)
    message = stored(BlobStore(objects), 0)
    place = Position(CLEAN.name, 0, 0, "a" * 22)
    message = type(message)(message.record, message.origin, place)
    stage.process([(message, stage.prepare(message))])
    # When a sink of another topic of that name is given another partition
    other = sink(objects, tmp_path)
    other.setup()
    with pytest.raises(Fatal, match="earlier topic"):
        other.resume(CLEAN.name, 5, 0, "b" * 22)


def test_shards_of_an_older_version_take_the_topic_id_once(
    objects: FolderStore, tmp_path: Path
) -> None:
    # Given a shard whose manifest names no topic id
    stage, message = sink(objects, tmp_path), stored(BlobStore(objects), 0)
    stage.setup()
    stage.resume(CLEAN.name, 0, 0)
    stage.process([(message, stage.prepare(message))])
    assert last_manifests(objects, "dataset")[0].topic_id is None

    def resumed(topic_id: str | None) -> int:
        another = sink(objects, tmp_path)
        another.setup()
        return another.resume(CLEAN.name, 0, 1, topic_id)

    # When a sink that knows the id goes on
    assert resumed("a" * 22) == 1
    # Then another id is refused, and none is as before
    assert offsets_in(objects) == [0]
    with pytest.raises(Fatal, match="earlier topic"):
        resumed("b" * 22)
    assert resumed(None) == 1


def test_a_dead_letter_names_the_topic_id_of_its_message(stream: Stream) -> None:
    stream.produce(["dead", b"no pair", "fine"])
    with running(Toy(), stream) as worker:
        assert until(lambda: worker.records == 3)
    with TopicReader(stream.connection, [DEAD]) as reader:
        letters = [read.record for read in reader if isinstance(read.record, DeadLetter)]
    with TopicReader(stream.connection, [RAW]) as reader:
        places = {read.position for read in reader}
    assert len(letters) == 2
    assert {letter.position for letter in letters} < places
