"""Where the sink goes on, and the chains and stores that it refuses."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kaption.connections.errors import Fatal
from kaption.objectstore.dataset.checkpoint import (
    PartitionCheckpoint,
    ShardEntry,
    encoded_checkpoint,
)
from kaption.objectstore.dataset.index import last_starts
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.dataset.manifests import encoded, read_manifests
from kaption.objectstore.folder import FolderStore
from kaption.workers.stages.sink.stage import UNCOMMITTED_SHARDS
from support.sink_records import TOPIC, manifest, open_sink, run, stored

pytestmark = pytest.mark.slow


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


class CountingStore(FolderStore):
    """Counts the manifests that listings give."""

    listed = 0

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        for key in super().list(prefix, after):
            self.listed += "/manifest/" in key
            yield key


def chain_with_checkpoint(folder: Path, shards: int, newer: int) -> CountingStore:
    """Shards of one partition with one record each; a checkpoint knows all but the newest."""
    store, layout = CountingStore(folder), Layout("dataset")
    manifests = [manifest(start, start + 1) for start in range(shards)]
    for each in manifests:
        store.put(layout.key_of(each), encoded(each))
    known = manifests[:-newer]
    head = PartitionCheckpoint(number=1, last=known[-1].start)
    entries = [ShardEntry.of(each) for each in known]
    store.put(layout.checkpoint(0, 1), encoded_checkpoint(head, entries))
    return store


@pytest.mark.parametrize("shards", [20, 200, 2000])
def test_a_start_lists_no_more_manifests_of_a_longer_chain(shards: int, tmp_path: Path) -> None:
    store = chain_with_checkpoint(tmp_path / "store", shards, newer=5)

    assert open_sink(store, tmp_path, "w1").resume(TOPIC, 0, shards) == shards

    # The one that the checkpoint knows and the newer ones: for the check of all partitions, and
    # for this partition.
    assert store.listed == 2 * (1 + 5)


def test_lost_offsets_and_a_lost_manifest_are_noticed_despite_a_checkpoint(tmp_path: Path) -> None:
    store = chain_with_checkpoint(tmp_path / "store", 40, newer=5)
    assert open_sink(store, tmp_path, "w1").resume(TOPIC, 0, 0) == 40

    # As after a backup that is older than the checkpoint
    for start in range(30, 40):
        store.delete(Layout("dataset").manifest(0, start))
    assert open_sink(store, tmp_path, "w2").resume(TOPIC, 0, 0) == 30
    assert last_starts(store, "dataset") == {0: 29}


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
    with pytest.raises(Fatal, match="is not a valid Manifest"):
        open_sink(objects, tmp_path, "w2").resume(TOPIC, 0, 0)


def test_a_store_that_ignores_conditions_is_refused(tmp_path):
    class Ignoring(FolderStore):
        def put_if_absent(self, key: str, data: bytes, *, media_type: str = "x") -> bool:
            self.put(key, data)
            return True

    with pytest.raises(Fatal, match="If-None-Match"):
        open_sink(Ignoring(tmp_path / "store"), tmp_path, "w1").resume(TOPIC, 0, 0)
