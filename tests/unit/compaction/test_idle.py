"""Compaction looks only at what changed, and what it leaves out stays known."""

from collections import Counter

import pytest

from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.folder import FolderStore
from kaption.schemas import TakedownKind
from kaption.workers.compaction import Limits, find_orphans, retire
from support.compacting import LATER, compact, dying_at_delete, retire_all
from support.sink_records import offsets_in
from support.stream_records import named, take_down, write_chains, write_shards

pytestmark = pytest.mark.slow
NONE_SMALL = Limits(below=1, to=1, records=1)
CHAINS = {partition: [[offset] for offset in range(12)] for partition in range(3)}


class Noted(FolderStore):
    """A folder that notes what is read and written."""

    def __init__(self, root) -> None:
        super().__init__(root)
        self.read: list[str] = []
        self.written: list[str] = []

    def get(self, key):
        self.read.append(key)
        return super().get(key)

    def put(self, key, data, **kwargs):
        self.written.append(key)
        return super().put(key, data, **kwargs)

    def put_if_absent(self, key, data, **kwargs):
        self.written.append(key)
        return super().put_if_absent(key, data, **kwargs)


def kinds(keys: list[str]) -> set[str]:
    return {key.split("/")[1] for key in keys}


@pytest.fixture
def noted(objects, tmp_path) -> Noted:
    write_chains(objects, tmp_path, CHAINS)
    compact(objects, NONE_SMALL)
    return Noted(tmp_path / "store")


@pytest.mark.parametrize("dry", [False, True])
def test_with_nothing_to_do_it_reads_no_shard_and_writes_nothing(noted, dry):
    assert compact(noted, NONE_SMALL, dry=dry).before == 0
    assert (kinds(noted.read), noted.written) == ({"checkpoint", "counts"}, [])
    assert len(noted.read) == 2 * len(CHAINS)


def test_it_looks_for_orphans_without_reading_manifests(noted):
    # Given objects of a dead writer at the offsets of one shard
    dead = "dataset/data/00001/00000000000000000003-00000000000000000004-dead-0.tar"
    noted.put(dead, b"x")

    # When / Then the manifest of this shard was read
    assert find_orphans(noted, "dataset", LATER) == [dead]
    manifests = [key for key in noted.read if "/manifest/" in key]
    assert manifests == [Layout("dataset").manifest(1, 3)]


def test_it_reads_the_tables_of_new_shards_alone(noted, tmp_path):
    # Given a new shard in one of the partitions
    write_chains(noted, tmp_path, {1: [[12]]})
    noted.read.clear()

    # When
    compact(noted, NONE_SMALL)

    # Then
    tables = {key for key in noted.read if key.endswith(".parquet") and "/data/" in key}
    assert len(tables) == 1
    assert not any("/manifest/00000/" in key for key in noted.read)


def test_a_dry_run_reads_the_tables_of_what_changed_and_writes_nothing(noted, tmp_path):
    # Given a new shard in one of the partitions, and a takedown
    write_chains(noted, tmp_path, {1: [[12]]})
    take_down(noted, TakedownKind.PAIR, "2-5")
    noted.read.clear()
    noted.written.clear()

    # When
    done = compact(noted, NONE_SMALL, dry=True)

    # Then
    assert (done.before, done.dropped) == (1, {"taken down": 1})
    tables = {key for key in noted.read if key.endswith(".parquet") and "/data/" in key}
    assert len(tables) == 2
    assert noted.written == []


def test_a_list_of_takedowns_reads_the_tables_of_what_it_covers(noted):
    # Given several takedowns
    for name in ("0-1", "0-2", "2-5"):
        take_down(noted, TakedownKind.PAIR, name)
    noted.read.clear()

    # When
    assert compact(noted, NONE_SMALL).dropped == {"taken down": 3}
    passed = [key for key in noted.read if key.endswith(".parquet") and "/data/" in key]
    reads = Counter(key.split("/")[1] for key in noted.read)
    noted.read.clear()

    # Then the tables of three shards and of those in their place were read, and none the next time
    assert len(passed) == len(set(passed)) == 3 + 3
    assert reads["takedown"] == 3
    assert reads["manifest"] <= 3 * 3  # of the three: to look, to merge and to count
    assert compact(noted, NONE_SMALL).before == 0
    assert kinds(noted.read) == {"checkpoint", "counts"}
    assert len(offsets_in(noted)) == 33


@pytest.mark.parametrize("which", ["pairs", "versions", "rules"])
def test_what_a_checkpoint_names_and_is_lost_is_made_anew(objects, tmp_path, which):
    # Given a checkpoint, whose objects of one kind are gone
    blobs = BlobStore(objects)
    shard = [named(blobs, offset, 0, pair_id=f"pair-{offset % 3}") for offset in range(5)]
    write_shards(objects, tmp_path, [[each] for each in shard])
    compact(objects, NONE_SMALL)
    for key in list(objects.list(f"dataset/{which}/")):
        objects.delete(key)

    # When
    take_down(objects, TakedownKind.PAIR, "pair-1")

    # Then they are made anew, at the latest for the next shard
    assert compact(objects, NONE_SMALL).dropped == {"taken down": 2}
    assert offsets_in(objects) == [0, 2, 3]
    write_shards(objects, tmp_path, [[named(blobs, 5, 0, pair_id="pair-2")]])
    compact(objects, NONE_SMALL)
    assert all(list(objects.list(f"dataset/{each}/")) for each in ("pairs", "versions", "rules"))
    assert offsets_in(objects) == [0, 2, 3, 5]


def test_a_new_shard_with_a_pair_that_was_taken_down_before_is_written_anew(noted, tmp_path):
    take_down(noted, TakedownKind.PAIR, "0-3")
    compact(noted, NONE_SMALL)
    blobs = BlobStore(noted)
    write_shards(noted, tmp_path, [[named(blobs, 12, 0, pair_id="0-3"), named(blobs, 13, 0)]])
    assert compact(noted, NONE_SMALL).dropped == {"taken down": 1}
    assert 12 not in offsets_in(noted)


@pytest.mark.parametrize("step", range(9))
def test_a_removal_that_is_killed_is_finished_by_the_next(objects, tmp_path, step):
    # Given merged shards, whose removal dies at one of its steps
    write_chains(objects, tmp_path, {0: [[0], [1], [2]]})
    compact(objects)
    try:
        with dying_at_delete(step):
            retire(objects, "dataset", LATER)
    except KeyboardInterrupt:
        assert offsets_in(objects) == [0, 1, 2]

    # When
    retire_all(objects)

    # Then only the sink's last manifest is left beside the merged one
    layout = Layout("dataset")
    assert len(list(objects.list(layout.manifests()))) == 1
    assert len(list(objects.list(layout.objects()))) == 6
    assert offsets_in(objects) == [0, 1, 2]
