"""The sink where shards are there already: those of other sinks, and those of lost answers."""

from pathlib import Path

import pytest

from kaption.connections.errors import Retry
from kaption.objectstore.blobs import BlobStore, blob_key
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.folder import FolderStore
from kaption.workers.runtime.stage import Reject
from support.sink_records import TOPIC, done, offsets_in, open_sink, orphans_in, run, stored

pytestmark = pytest.mark.slow


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
