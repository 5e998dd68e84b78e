"""Reading a dataset by its manifests, and what is found wrong with it."""

import pytest

from kaption.connections.settings import StoreConnection
from kaption.objectstore import BlobStore, open_store
from kaption.objectstore.dataset import read_manifests, read_rows, read_samples
from kaption.objectstore.dataset.index import last_manifests
from kaption.objectstore.dataset.objects import DamagedError
from kaption.objectstore.folder import FolderStore
from support.dataset_faults import chain_faults, object_faults
from support.sink_records import manifest, open_sink, run, stored


@pytest.mark.parametrize(
    ("chain", "fault"),
    [
        ([(0, 3), (3, 6)], None),
        ([(3, 6), (0, 3)], None),
        ([(1, 3)], "ends at 0"),
        ([(0, 3), (4, 6)], "ends at 3"),
        ([(0, 3), (2, 6)], "ends at 3"),
        ([(0, 3), (0, 3)], "ends at 3"),
        ([(0, 3), (3, 3)], "ends at 3"),
    ],
)
def test_a_gap_or_an_overlap_in_a_chain_is_a_fault(chain, fault):
    faults = chain_faults([manifest(*offsets) for offsets in chain])
    assert (faults == []) if fault is None else (fault in faults[0])


def test_the_chain_of_each_partition_is_judged_by_itself():
    assert chain_faults([manifest(0, 3), manifest(0, 9, partition=2)]) == []
    mixed = chain_faults([manifest(0, 3), manifest(3, 4, topic="other.clean")])
    assert "of topic other.clean" in mixed[0]


def test_a_dataset_in_a_folder_is_read_by_its_manifests(tmp_path):
    # Given a dataset that a sink wrote into a folder
    objects = FolderStore(tmp_path / "store")
    sink, blobs = open_sink(objects, tmp_path, "w1"), BlobStore(objects)
    run(sink, [stored(blobs, offset) for offset in range(3)])
    run(sink, [stored(blobs, 4, partition=2)])

    # When
    store = open_store(StoreConnection(url=str(tmp_path / "store")))
    manifests = read_manifests(store, "dataset")

    # Then each sample is there, in the tar and in the table
    assert [(m.partition, m.pairs) for m in manifests] == [(0, 3), (2, 1)]
    last = last_manifests(store, "dataset")
    assert {partition: each.end for partition, each in last.items()} == {0: 3, 2: 5}
    samples = dict(read_samples(store, "dataset", manifests[0]))
    assert set(samples) == {"0-0", "0-1", "0-2"}
    assert set(samples["0-1"]) == {"jpg", "json", "txt"}
    assert [row["pair_id"] for row in read_rows(store, "dataset", manifests[1])] == ["pair-4"]
    assert object_faults(store, "dataset", manifests) == []


def test_objects_that_are_missing_or_changed_are_named(tmp_path):
    # Given a shard with one object gone and one changed in a byte
    objects = FolderStore(tmp_path / "store")
    run(open_sink(objects, tmp_path, "w1"), [stored(BlobStore(objects), 0)])
    manifests = read_manifests(objects, "dataset")
    tar, table, _ = (f"dataset/{entry.key}" for entry in manifests[0].objects)
    data = bytearray(objects.get(table))
    data[10] ^= 1
    objects.put(table, bytes(data))
    objects.delete(tar)

    # When / Then
    missing, changed = object_faults(objects, "dataset", manifests)
    assert missing.endswith(".tar: missing")
    assert "parquet: not the bytes" in changed
    with pytest.raises(DamagedError, match=r"\.tar: missing"):
        list(read_samples(objects, "dataset", manifests[0]))


def test_an_empty_dataset_has_no_manifests(tmp_path):
    assert read_manifests(FolderStore(tmp_path), "dataset") == []
    assert last_manifests(FolderStore(tmp_path), "dataset") == {}
