"""The sink on a folder: what it writes, and how it reacts to shards of other sinks."""

import gc
import json
import subprocess
import sys
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import webdataset

from kaption.connections.errors import Fatal, Retry
from kaption.objectstore.blobs import BlobStore, CorruptBlobError, blob_key
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.folder import FolderStore
from kaption.schemas import BlobRef, CleanPair, OptOutSignal, Reason
from kaption.workers.policy import SinkPolicy
from kaption.workers.runtime.stage import Dead, Reject
from kaption.workers.stages.sink.spool import ImageSpool
from kaption.workers.stages.sink.stage import UNCOMMITTED_SHARDS, SinkStage
from support.sink_records import (
    TOPIC,
    done,
    image_bytes,
    now,
    offsets_in,
    open_sink,
    orphans_in,
    run,
    stored,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def objects(tmp_path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def blobs(objects) -> BlobStore:
    return BlobStore(objects)


@pytest.fixture
def sink(objects, tmp_path) -> SinkStage:
    sink = open_sink(objects, tmp_path, "w1")
    assert sink.resume(TOPIC, 0, 0) == 0
    return sink


def test_a_batch_becomes_a_shard_that_webdataset_reads(objects, blobs, sink, tmp_path):
    # Given a batch with gaps in its offsets and two versions of one pair
    messages = [
        stored(blobs, 3, fetched_at=datetime(2026, 1, 2, tzinfo=UTC), licence="CC-BY-4.0"),
        stored(blobs, 5, pair_id="same", opt_out=(OptOutSignal(kind="robots_meta", value="x"),)),
        stored(blobs, 9, pair_id="same", version=2, extra={"crawl": 7}),
    ]

    # When processed
    assert done(run(sink, messages))

    # Then one manifest accounts for every offset up to the last, and names both objects
    (manifest,) = read_manifests(FolderStore(tmp_path / "store"), "dataset")
    assert (manifest.topic, manifest.partition, manifest.pairs) == (TOPIC, 0, 3)
    assert (manifest.start, manifest.end, manifest.writer) == (0, 10, "w1")
    assert offsets_in(objects) == [3, 5, 9]
    assert orphans_in(objects) == []

    # and the tar is what WebDataset wants
    tar = tmp_path / "store" / "dataset" / manifest.objects[0].key
    samples = list(webdataset.WebDataset(str(tar), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["0-3", "0-5", "0-9"]
    for sample, message in zip(samples, messages, strict=True):
        assert sample["jpg"] == image_bytes(message.position.offset)
        assert sample["txt"].decode() == message.record.captions[0].text
        assert CleanPair.model_validate_json(sample["json"]) == message.record


def test_the_table_has_typed_columns(blobs, sink, tmp_path):
    # Given one pair with optional fields and one without
    fetched = datetime(2026, 1, 2, tzinfo=UTC)
    full = stored(
        blobs,
        0,
        fetched_at=fetched,
        licence="CC-BY-4.0",
        language="de",
        opt_out=(OptOutSignal(kind="robots_meta", value="noai"),),
        extra={"crawl": 7},
        original_score=0.25,
    )
    image = full.record.image.model_copy(update={"url": "u:there", "crawled_url": "u:here"})
    full = replace(full, record=full.record.model_copy(update={"image": image}))
    run(sink, [full, stored(blobs, 1)])

    # When the Parquet object is read
    (path,) = (tmp_path / "store").rglob("*.parquet")
    table = pq.read_table(path)

    # Then types and values are those of the records
    types = {field.name: str(field.type) for field in table.schema}
    assert types["caption_score"] == types["original_score"] == "double"
    assert types["fetched_at"] == "timestamp[us, tz=UTC]"
    assert types["captions"].startswith("list<element: struct<text: string not null")
    first, second = table.to_pylist()
    assert first["fetched_at"] == fetched
    assert (first["licence"], first["language"]) == ("CC-BY-4.0", "de")
    assert first["opt_out"] == [{"kind": "robots_meta", "value": "noai"}]
    assert json.loads(first["extra"]) == {"crawl": 7}
    assert first["captions"][0]["text"] == first["caption"] == "Größe 0"
    assert first["captions"][0]["score"] == first["caption_score"] == 0.3
    assert (first["width"], first["height"], first["original_width"]) == (640, 480, 1280)
    assert (first["image_url"], first["crawled_url"]) == ("u:there", "u:here")
    assert (second["fetched_at"], second["original_score"], second["opt_out"]) == (None, None, [])


def test_shards_follow_each_other_without_a_gap(objects, blobs, sink):
    # Given offsets with transaction markers between the batches
    for batch in ([0, 1, 2], [4, 5], [9]):
        assert done(run(sink, [stored(blobs, offset) for offset in batch]))

    # When / Then
    manifests = read_manifests(objects, "dataset")
    assert [(m.start, m.end) for m in manifests] == [(0, 3), (3, 6), (6, 10)]
    assert offsets_in(objects) == [0, 1, 2, 4, 5, 9]


def test_the_same_records_give_the_same_bytes(objects, tmp_path):
    # Given the same records, written into two datasets
    digests = []
    for prefix in ("one", "other"):
        sink = open_sink(objects, tmp_path, "w1", prefix)
        run(sink, [stored(BlobStore(objects), offset) for offset in range(5)])
        (manifest,) = read_manifests(objects, prefix)
        digests.append([entry.sha256 for entry in manifest.objects])

    # When / Then
    assert digests[0] == digests[1]


def test_a_record_without_its_image_is_rejected_and_the_others_are_written(objects, blobs, sink):
    # Given a batch in which one image was taken away
    messages = [stored(blobs, offset) for offset in range(3)]
    sha256 = messages[1].record.image.blob.sha256
    objects.delete(blob_key(sha256))

    # When
    outcomes = run(sink, messages)

    # Then
    assert isinstance(outcomes[1], Reject)
    assert outcomes[1].reason is Reason.BLOB_MISSING
    assert offsets_in(objects) == [0, 2]


def test_a_record_with_an_unknown_media_type_is_a_dead_letter(blobs, sink):
    message = stored(blobs, 0)
    blob = message.record.image.blob.model_copy(update={"media_type": "text/html"})
    image = message.record.image.model_copy(update={"blob": blob})
    with pytest.raises(Dead, match="text/html"):
        sink.prepare(stored(blobs, 0, image=image))


# Shards that are there already


def test_redelivered_records_that_are_in_a_shard_are_not_written(objects, blobs, sink, tmp_path):
    # Given a shard whose commit to Kafka was lost, with one rejected record in it
    messages = [stored(blobs, offset) for offset in range(4)]
    sha256 = messages[2].record.image.blob.sha256
    objects.delete(blob_key(sha256))
    first = run(sink, messages)
    before = sorted(objects.list(""))

    # When another worker gets the same records
    other = open_sink(objects, tmp_path, "w2")
    assert other.resume(TOPIC, 0, 0) == 0
    again = run(other, messages)

    # Then each has the outcome it had, and nothing was written
    assert [type(outcome) for outcome in again] == [type(outcome) for outcome in first]
    assert isinstance(again[2], Reject)
    assert sorted(objects.list("")) == before
    assert offsets_in(objects) == [0, 1, 3]


def test_of_redelivered_and_new_records_only_the_new_are_written(objects, blobs, sink, tmp_path):
    run(sink, [stored(blobs, offset) for offset in range(3)])
    other = open_sink(objects, tmp_path, "w2")
    other.resume(TOPIC, 0, 0)
    assert done(run(other, [stored(blobs, offset) for offset in range(6)]))
    assert [(m.start, m.end) for m in read_manifests(objects, "dataset")] == [(0, 3), (3, 6)]
    assert offsets_in(objects) == list(range(6))


@pytest.mark.parametrize("theirs", [2, 4, 6])
def test_a_late_writer_takes_over_the_end_of_the_other_s_shard(
    objects, blobs, sink, tmp_path, theirs
):
    # Given two writers that know the same chain, and one that is first with its end
    late = open_sink(objects, tmp_path, "late")
    late.resume(TOPIC, 0, 0)
    messages = [stored(blobs, offset) for offset in range(6)]
    prepared = [(message, late.prepare(message)) for message in messages[:4]]
    run(sink, messages[:theirs])

    # When the other one writes its four records
    assert done(late.process(prepared))

    # Then what stood stays, only what was missing is added, and no object is left over
    assert offsets_in(objects) == list(range(max(theirs, 4)))
    assert orphans_in(objects) == []
    expected = [("w1", 0, theirs)] + ([("late", 2, 4)] if theirs == 2 else [])
    found = [(m.writer, m.start, m.end) for m in read_manifests(objects, "dataset")]
    assert found == expected

    # and it goes on from there
    assert done(run(late, messages))
    assert offsets_in(objects) == list(range(6))


def test_a_writer_far_behind_follows_the_chain_to_its_end(objects, blobs, sink, tmp_path):
    # Given a writer that knows nothing of six shards
    late = open_sink(objects, tmp_path, "late")
    late.resume(TOPIC, 0, 0)
    for offset in range(6):
        run(sink, [stored(blobs, offset)])

    # When it writes a range that ends past them
    prepared = [(m, late.prepare(m)) for m in [stored(blobs, 6)]]
    assert done(late.process(prepared))

    # Then its shard comes after theirs
    assert [(m.start, m.end) for m in read_manifests(objects, "dataset")][-1] == (6, 7)
    assert orphans_in(objects) == []


class Broken(FolderStore):
    """Fails once when a manifest is written: before it is written, or after."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.fail: str | None = None

    def put_if_absent(self, key: str, data: bytes, *, media_type: str = "x") -> bool:
        if "manifest" in key and self.fail:
            moment, self.fail = self.fail, None
            if moment == "after":
                super().put_if_absent(key, data)
            raise Retry(f"connection lost {moment} the write")
        return super().put_if_absent(key, data)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("parts", [[(0, 4)], [(0, 2), (2, 4)], [(0, 1), (1, 4)]])
def test_a_manifest_whose_answer_was_lost_is_written_once(tmp_path, moment, parts):
    # Given a batch whose manifest is sent, with no answer
    objects = Broken(tmp_path / "store")
    sink = open_sink(objects, tmp_path, "w1")
    messages = [stored(BlobStore(objects), offset) for offset in range(4)]
    prepared = [(message, sink.prepare(message)) for message in messages]
    objects.fail = moment
    with pytest.raises(Retry):
        sink.process(prepared)

    # When the engine tries again, whole or in parts
    for first, last in parts:
        assert done(sink.process(prepared[first:last]))

    # Then each record is in one shard
    assert offsets_in(objects) == [0, 1, 2, 3]


def test_an_attempt_with_other_records_does_not_touch_the_committed_shard(tmp_path):
    # Given a shard whose manifest was written but not answered
    objects = Broken(tmp_path / "store")
    sink = open_sink(objects, tmp_path, "w1")
    messages = [stored(BlobStore(objects), offset) for offset in range(4)]
    prepared = [(message, sink.prepare(message)) for message in messages]
    objects.fail = "after"
    with pytest.raises(Retry):
        sink.process(prepared)

    # When the engine tries again without one record, up to the same end
    assert done(sink.process([prepared[0], *prepared[2:]]))

    # Then the objects are still those of the manifest, and no others are left
    assert offsets_in(objects) == [0, 1, 2, 3]
    assert orphans_in(objects) == []


def test_a_crash_between_objects_and_manifest_adds_nothing_to_the_dataset(objects, blobs, tmp_path):
    # Given a worker that dies after its uploads
    messages = [stored(blobs, offset) for offset in range(3)]
    dying = Broken(tmp_path / "store")
    sink = open_sink(dying, tmp_path, "dying")
    dying.fail = "before"
    with pytest.raises(Retry):
        run(sink, messages)
    assert offsets_in(objects) == []

    # When another one takes over
    other = open_sink(objects, tmp_path, "w2")
    other.resume(TOPIC, 0, 0)
    run(other, messages)

    # Then its shard is the only one that is read
    assert offsets_in(objects) == [0, 1, 2]
    assert all("dying" in key for key in orphans_in(objects))


# Resuming


def test_the_committed_offset_may_be_ahead_of_the_chain(objects, blobs, sink, tmp_path):
    # Given a chain up to 3, and records 3 and 4 that were rejected and committed
    run(sink, [stored(blobs, offset) for offset in range(3)])
    other = open_sink(objects, tmp_path, "w2")

    # When
    assert other.resume(TOPIC, 0, 5) == 5
    run(other, [stored(blobs, 5)])

    # Then the chain stays whole
    assert [(m.start, m.end) for m in read_manifests(objects, "dataset")] == [(0, 3), (3, 6)]


def test_a_sink_whose_offsets_were_lost_starts_at_the_end_of_the_chain(
    objects, blobs, sink, tmp_path
):
    # Given more shards than a crash can leave uncommitted
    for offset in range(UNCOMMITTED_SHARDS + 1):
        run(sink, [stored(blobs, offset)])

    # When a worker is told to start at the beginning, or one shard later
    other = open_sink(objects, tmp_path, "w2")

    # Then it starts where the chain ends, or where it was told
    assert other.resume(TOPIC, 0, 0) == UNCOMMITTED_SHARDS + 1
    assert other.resume(TOPIC, 0, 1) == 1


def test_each_partition_has_its_own_chain(objects, blobs, sink):
    sink.resume(TOPIC, 7, 0)
    run(sink, [stored(blobs, 0), stored(blobs, 1)])
    run(sink, [stored(blobs, 5, partition=7)])
    found = [(m.partition, m.start, m.end) for m in read_manifests(objects, "dataset")]
    assert found == [(0, 0, 2), (7, 0, 6)]


def test_another_topic_under_the_same_prefix_is_refused(blobs, sink, objects, tmp_path):
    run(sink, [stored(blobs, 0)])
    with pytest.raises(Fatal, match="prefix of its own"):
        open_sink(objects, tmp_path, "w2").resume("other.clean", 0, 0)


def test_a_manifest_that_cannot_be_read_stops_the_sink(blobs, sink, objects, tmp_path):
    objects.put("dataset/manifest/00000/00000000000000000000.json", b"{}")
    with pytest.raises(Fatal, match="is no manifest"):
        open_sink(objects, tmp_path, "w2").resume(TOPIC, 0, 0)


def test_a_store_that_ignores_conditions_is_refused(tmp_path):
    class Ignoring(FolderStore):
        def put_if_absent(self, key: str, data: bytes, *, media_type: str = "x") -> bool:
            self.put(key, data)
            return True

    with pytest.raises(Fatal, match="If-None-Match"):
        open_sink(Ignoring(tmp_path / "store"), tmp_path, "w1").resume(TOPIC, 0, 0)


# Local disk


def spooled(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_images_wait_on_disk_and_are_deleted_with_their_batch(blobs, sink, tmp_path):
    # Given three prepared images, one of which is dropped with its partition
    prepared = [(m, sink.prepare(m)) for m in [stored(blobs, offset) for offset in range(3)]]
    spool = tmp_path / "kaption-spool"
    assert len(spooled(spool)) == 3
    del prepared[2]
    gc.collect()
    assert len(spooled(spool)) == 2

    # When the others are written / Then nothing is left
    sink.process(prepared)
    del prepared
    gc.collect()
    assert spooled(spool) == []
    sink.close()
    assert [path for path in spool.iterdir() if path.is_dir()] == []


def test_the_folder_of_a_dead_process_is_removed_and_that_of_a_living_one_is_not(tmp_path):
    # Given a process that died with an image in its spool, and one that lives
    script = (
        "import os, pathlib, sys\n"
        "from kaption.workers.stages.sink.spool import ImageSpool\n"
        "spool = ImageSpool(pathlib.Path(sys.argv[1])); spool.open()\n"
        "held = spool.add(b'left'); os._exit(0)\n"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, cwd=root)
    assert [path.read_bytes() for path in spooled(tmp_path)] == [b"left"]
    living = ImageSpool(tmp_path)
    living.open()
    held = living.add(b"held")

    # When a third one opens
    third = ImageSpool(tmp_path)
    third.open()

    # Then only the living one's is there
    assert spooled(tmp_path) == [held.path]
    third.close()
    living.close()


def test_a_full_disk_is_a_retry(blobs, sink, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    message = stored(blobs, 0)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(Retry, match=r"sink\.spool has no room"):
        sink.prepare(message)


def test_a_disk_that_fills_while_a_shard_is_built_is_a_retry(blobs, sink, monkeypatch, objects):
    prepared = [(m, sink.prepare(m)) for m in [stored(blobs, 0)]]

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(tarfile.TarFile, "addfile", full)
        with pytest.raises(Retry, match=r"sink\.spool has no room"):
            sink.process(prepared)
    assert done(sink.process(prepared))
    assert offsets_in(objects) == [0]


def test_a_spool_folder_that_cannot_be_made_is_fatal(objects, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Fatal, match=r"sink\.spool"):
        open_sink(objects, tmp_path / "file", "w1")


def test_batches_are_of_one_partition_and_bounded_by_the_policy(objects, blobs):
    policy = SinkPolicy(shard_bytes=1000, shard_records=5, shard_age_s=2)
    sink = SinkStage(policy, objects, blobs, now=now)
    batching = sink.batching
    assert (batching.max_bytes, batching.max_records, batching.max_wait_s) == (1000, 5, 2)
    assert batching.per_partition


def test_the_size_of_a_record_includes_its_image_and_its_json(blobs, sink):
    message = stored(blobs, 0)
    size = sink.size_of(message, sink.prepare(message))
    assert size > message.record.image.blob.bytes + len(message.record.text)


def test_a_corrupt_blob_is_not_written(objects, blobs, sink):
    message = stored(blobs, 0)
    ref: BlobRef = message.record.image.blob
    objects.put(blob_key(ref.sha256), b"x")
    with pytest.raises(CorruptBlobError, match="have another sha256"):
        sink.prepare(message)
