"""Compaction keeps what pins need, and removes it where a takedown asks for it."""

import shutil
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from kaption.consumers import ShardOptions, ShardStream
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.index import DatasetIndex
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.dataset.manifests import ManifestCache, read_manifests
from kaption.objectstore.dataset.objects import read_samples
from kaption.objectstore.dataset.pins import add_pin, delete_pin
from kaption.objectstore.folder import FolderStore
from kaption.schemas import TakedownKind
from kaption.workers.compaction import Limits, find_orphans, retire
from support.compacting import LATER, compact, dying_at_delete, ranges, retire_all
from support.sink_records import now, offsets_in
from support.stream_records import named, pair_ids, take_down, write_chains, write_shards

pytestmark = pytest.mark.slow
LAYOUT = Layout("dataset")
NONE_SMALL = Limits(below=1, to=1, records=1)
CHAINS = {0: [[0, 1], [2], [3, 5]], 1: [[0], [1]]}


def pin(objects: FolderStore, name: str = "one") -> None:
    add_pin(objects, "dataset", name, f"w-{name}", now())


def pinned(objects: FolderStore, name: str = "one", **options: Any) -> list[str]:
    return pair_ids(ShardStream(objects, options=ShardOptions(pin=name, shuffle=False, **options)))


def stored_pairs(objects: FolderStore) -> set[str]:
    """Return the names of all pairs in tars, also of those that do not count."""
    found = set[str]()
    for manifest in ManifestCache(objects, "dataset").read().values():
        if all(objects.exists(LAYOUT.object(entry.key)) for entry in manifest.objects):
            samples = read_samples(objects, "dataset", manifest)
            found |= {f"{manifest.partition}-{key.rpartition('-')[2]}" for key, _ in samples}
    return found


def data(objects: FolderStore) -> list[str]:
    return list(objects.list(LAYOUT.objects()))


def test_replaced_shards_stay_until_the_last_pin_that_needs_them_is_deleted(objects, tmp_path):
    # Given two pins, with a merge between them
    write_chains(objects, tmp_path, CHAINS)
    pin(objects)
    compact(objects, Limits(below=1 << 40, to=1 << 40, records=3))
    pin(objects, "two")
    write_chains(objects, tmp_path, {0: [[6]]})
    compact(objects)
    for key in find_orphans(objects, "dataset", LATER):
        objects.delete(key)

    # When / Then all but what neither of them has can go
    found = retire(objects, "dataset", LATER, dry=True)
    assert (found.shards, found.held) == (0, 5)
    assert retire(objects, "dataset", LATER) == found
    sizes = [
        entry.bytes
        for each in ManifestCache(objects, "dataset").read().values()
        for entry in each.objects
        if each not in read_manifests(objects, "dataset")
        and entry.format != "counts"
        and (each.generation or each.start not in (1, 6))  # the sink's last ones stay anyway
    ]
    assert found.held_bytes == sum(sizes)
    assert (
        pinned(objects)
        == pinned(objects, "two")
        == ["0-0", "0-1", "0-2", "0-3", "0-5", "1-0", "1-1"]
    )
    delete_pin(objects, "dataset", "one", now())
    found = retire(objects, "dataset", LATER)
    assert (found.shards, found.held) == (3, 2)
    assert len(pinned(objects, "two")) == 7
    delete_pin(objects, "dataset", "two", now())
    assert retire_all(objects) == 2
    assert len(data(objects)) == 3 * (2 + 2)  # merged ones, and the sink's last


def test_only_what_a_pin_needs_stays(objects, tmp_path):
    # Given a pin, and shards that came later
    write_chains(objects, tmp_path, CHAINS)
    compact(objects)
    pin(objects)
    write_chains(objects, tmp_path, {0: [[6], [7]], 2: [[0], [1]]})
    compact(objects)

    # When / Then
    found = retire(objects, "dataset", LATER)
    assert (found.shards, found.held) == (3 + 1 + 1 + 1, 1)
    assert ranges(objects) == [(0, 0, 8), (1, 0, 2), (2, 0, 2)]
    assert len(pinned(objects)) == 7


@pytest.mark.parametrize("kind", ["pair", "image"])
@pytest.mark.parametrize("merged", [False, True])
def test_a_takedown_removes_a_pair_from_every_shard_and_a_pin_keeps_the_others(
    objects, tmp_path, kind, merged
):
    # Given a pinned shard, merged or not, with a pair that is taken down
    write_chains(objects, tmp_path, CHAINS)
    pin(objects)
    if merged:
        compact(objects)
        retire_all(objects)
    pin(objects, "two")
    if kind == "pair":
        take_down(objects, TakedownKind.PAIR, "0-3")
    else:
        sha256 = named(BlobStore(objects), 3, 0).record.image.blob.sha256
        take_down(objects, TakedownKind.SHA256, sha256)

    # When
    assert compact(objects, NONE_SMALL).dropped == {"taken down": 1}
    retire_all(objects)

    # Then no object holds it, and the manifests of its shards stay for the pins
    left = ["0-0", "0-1", "0-2", "0-5", "1-0", "1-1"]
    assert stored_pairs(objects) == set(left)
    assert pinned(objects) == pinned(objects, "two") == left
    before = sorted(objects.list(""))
    assert compact(objects, NONE_SMALL).before == 0
    again = Counted(tmp_path / "store")
    found = retire(again, "dataset", LATER)
    assert (found.shards, again.calls["delete"], sorted(objects.list(""))) == (0, 0, before)
    assert found.held == (2 + merged if merged else 0)
    for name in ("one", "two"):
        delete_pin(objects, "dataset", name, now())
    retire_all(objects)
    named_now = {e.key for m in read_manifests(objects, "dataset") for e in m.objects}
    last = {e.key for m in ManifestCache(objects, "dataset").read().values() for e in m.objects}
    assert {LAYOUT.object(each) for each in named_now | last} >= set(data(objects))
    assert offsets_in(objects) == [0, 1, 2, 5, 0, 1]


@pytest.mark.parametrize("which", ["the older", "the newer"])
def test_a_version_that_only_a_pin_has_is_removed_with_what_is_taken_down(objects, tmp_path, which):
    # Given an older version, which compaction has left out of every shard that counts
    blobs = BlobStore(objects)
    old = named(blobs, 1, 0, pair_id="same")
    write_shards(objects, tmp_path, [[named(blobs, 0, 0), old]])
    pin(objects)
    new = named(blobs, 2, 0, pair_id="same", version=2)
    write_shards(objects, tmp_path, [[new]])
    pin(objects, "two")
    delete_pin(objects, "dataset", "one", now())
    compact(objects)
    assert (offsets_in(objects), stored_pairs(objects)) == ([0, 2], {"0-0", "0-1", "0-2"})

    # When its image is taken down, or that of its successor
    image = (old if which == "the older" else new).record.image.blob
    take_down(objects, TakedownKind.SHA256, image.sha256)
    compact(objects)
    retire_all(objects)

    # Then
    left = which == "the older"
    assert stored_pairs(objects) == ({"0-0", "0-2"} if left else {"0-0"})
    assert pinned(objects, "two") == (["0-0", "same"] if left else ["0-0"])


def test_what_was_replaced_after_a_pin_stays_in_it_when_its_shard_is_written_anew(
    objects, tmp_path
):
    # Given a pinned version, that of three pairs is replaced and merged without it
    blobs = BlobStore(objects)
    write_shards(objects, tmp_path, [[named(blobs, n, 0) for n in range(4)]])
    pin(objects)
    later = [named(blobs, 4 + n, 0, pair_id=f"0-{n}", version=2) for n in range(3)]
    write_shards(objects, tmp_path, [[each] for each in later])
    assert compact(objects).dropped == {}

    # When a pair of the same shard is taken down, and the later version of another one
    take_down(objects, TakedownKind.PAIR, "0-3")
    take_down(objects, TakedownKind.SHA256, later[1].record.image.blob.sha256)
    assert compact(objects).dropped == {"taken down": 2, "replaced": 1}
    retire_all(objects)

    # Then the pin has the others; the earlier version of what is taken down went with it
    assert stored_pairs(objects) == {"0-0", "0-2", "0-4", "0-6"}
    assert pinned(objects) == ["0-0", "0-2"]
    assert sorted(pair_ids(ShardStream(objects))) == ["0-0", "0-2"]
    assert compact(objects, dry=True).before == 0

    # and without the pin the next merge leaves them out
    delete_pin(objects, "dataset", "one", now())
    write_shards(objects, tmp_path, [[named(blobs, 7, 0)]])
    assert compact(objects).dropped == {"replaced": 2}
    assert offsets_in(objects) == [4, 6, 7]


def test_a_dry_run_counts_what_a_pin_keeps_as_kept(objects, tmp_path):
    # Given a version that was replaced before a pin, and one that was replaced after it
    blobs = BlobStore(objects)
    shards = [named(blobs, n, 0, pair_id="same", version=n + 1) for n in range(2)]
    write_shards(objects, tmp_path, [[each] for each in shards])
    pin(objects)
    write_shards(objects, tmp_path, [[named(blobs, 2, 0, pair_id="same", version=3)]])

    # When / Then
    assert compact(objects, dry=True).dropped == compact(objects).dropped == {"replaced": 1}
    assert offsets_in(objects) == [1, 2]


def test_checkpoints_that_are_made_anew_find_what_only_a_pin_has(objects, tmp_path):
    # Given a version that only a pinned shard has, and checkpoints that are lost
    blobs = BlobStore(objects)
    old = named(blobs, 1, 0, pair_id="same")
    shards = [[named(blobs, 0, 0), old], [named(blobs, 2, 0, pair_id="same", version=2)]]
    write_shards(objects, tmp_path, shards)
    pin(objects)
    compact(objects)

    def lose_checkpoints() -> None:
        for folder in ("checkpoint", "pairs", "versions", "rules"):
            for key in list(objects.list(f"dataset/{folder}/")):
                objects.delete(key)

    # When it is taken down
    lose_checkpoints()
    compact(objects)
    assert pinned(objects) == ["0-0", "same"]
    take_down(objects, TakedownKind.SHA256, old.record.image.blob.sha256)
    compact(objects)
    retire_all(objects)

    # Then, also where they are lost once more
    assert stored_pairs(objects) == {"0-0", "0-2"}
    assert pinned(objects) == ["0-0", "same"]
    lose_checkpoints()
    compact(objects)
    assert pinned(objects) == ["0-0", "same"]
    assert DatasetIndex(objects, "dataset").read()[0].checkpoint.unread == ()


def test_a_replaced_shard_that_cannot_be_read_is_removed_when_a_takedown_may_cover_it(
    objects, tmp_path
):
    # Given a pinned shard that was merged, whose table is damaged
    write_chains(objects, tmp_path, CHAINS)
    pin(objects)
    shard = read_manifests(objects, "dataset")[0]
    compact(objects)
    table = next(entry for entry in shard.objects if entry.format == "parquet")
    objects.put(LAYOUT.object(table.key), b"damaged")

    # When
    take_down(objects, TakedownKind.PAIR, "0-0")
    compact(objects, NONE_SMALL)
    retire_all(objects)

    # Then
    assert not any(objects.exists(LAYOUT.object(entry.key)) for entry in shard.objects)
    assert pinned(objects) == ["0-1", "0-2", "0-3", "0-5", "1-0", "1-1"]


class Counted(FolderStore):
    """A folder that counts calls, and lets somebody act at a listing or a conditional PUT."""

    def __init__(self, root, step: int = -1, act: Callable[[], object] = lambda: None) -> None:
        super().__init__(root)
        self.calls: Counter[str] = Counter()
        self._step, self._act = step, act
        self._lock = threading.Lock()

    def _count(self, kind: str) -> None:
        with self._lock:
            self.calls[kind] += 1
            now_it_is = kind in ("list", "put") and self.steps == self._step
        if now_it_is:
            self._act()

    @property
    def steps(self) -> int:
        return self.calls["list"] + self.calls["put"]

    def get(self, key):
        self._count("get")
        return super().get(key)

    def list(self, prefix, after=""):
        self._count("list")
        return super().list(prefix, after)

    def put_if_absent(self, key, data, **kwargs):
        self._count("put")
        return super().put_if_absent(key, data, **kwargs)

    def delete(self, key):
        self._count("delete")
        super().delete(key)


def idle_calls(root, shards: int, pins: int, spool) -> Counter[str]:
    """Count the calls of a compaction with nothing to do, where pins hold all shards back."""
    objects = FolderStore(root)
    write_chains(objects, spool, {p: [[offset] for offset in range(shards)] for p in range(2)})
    for number in range(pins):
        pin(objects, f"pin-{number}")
    compact(objects)
    retire_all(objects)
    counted = Counted(root)
    assert compact(counted).before == 0
    found = retire(counted, "dataset", LATER)
    assert (found.shards, found.held) == (0, 2 * (shards - 1) if pins else 0)
    return counted.calls


def test_idle_compaction_makes_a_call_for_each_pin_and_none_for_a_shard(tmp_path):
    none, few = (idle_calls(tmp_path / f"{n}", 4, n, tmp_path) for n in (0, 1))
    assert few - none == {"list": 1, "get": 1}
    assert idle_calls(tmp_path / "large", 40, 1, tmp_path) == few
    assert idle_calls(tmp_path / "more", 4, 5, tmp_path) - few == {"get": 4}


@pytest.mark.parametrize("merging", [False, True])
def test_a_pin_can_be_read_whenever_it_is_made_while_shards_are_merged_and_removed(
    tmp_path, merging
):
    # Given shards, and others who pin at one of a compaction's calls, then write and merge
    objects = FolderStore(tmp_path / "store")
    write_chains(objects, tmp_path, {0: [[0], [1], [2]]})
    compact(objects)
    blobs = BlobStore(objects)
    later = named(blobs, 3, 0, pair_id="0-1", version=2)
    write_shards(objects, tmp_path, [[later], [named(blobs, 4, 0)]])
    newer = named(blobs, 5, 0, pair_id="0-2", version=2)
    step, ended = 0, False

    def others(objects: FolderStore) -> None:
        pin(objects)
        write_shards(objects, tmp_path, [[newer]])
        if merging:
            compact(objects, writer="other")

    while not ended:
        step += 1
        root = tmp_path / f"{step}"
        shutil.copytree(tmp_path / "store", root)
        objects = FolderStore(root)
        busy = Counted(root, step, partial(others, objects))

        # When it merges and removes
        compact(busy)
        retire_all(busy)
        ended = busy.steps < step
        if ended:
            others(objects)

        # Then the pin is whole, also where its shards are written anew for a takedown
        assert sorted(pinned(objects)) == ["0-0", "0-1", "0-2", "0-4"]
        take_down(objects, TakedownKind.PAIR, "0-0")
        compact(objects, NONE_SMALL)
        retire_all(objects)
        assert sorted(pinned(objects)) == ["0-1", "0-2", "0-4"]
        assert "0-0" not in stored_pairs(objects)
    assert step > 30


@pytest.mark.parametrize("step", range(8))
def test_a_removal_for_a_takedown_that_is_killed_is_finished_by_the_next(objects, tmp_path, step):
    # Given a pinned shard with a pair that is taken down, whose removal dies at one of its steps
    write_chains(objects, tmp_path, CHAINS)
    pin(objects)
    take_down(objects, TakedownKind.PAIR, "0-1")
    compact(objects)
    try:
        with dying_at_delete(step):
            retire_all(objects)
    except KeyboardInterrupt:
        assert pinned(objects) == ["0-0", "0-2", "0-3", "0-5", "1-0", "1-1"]

    # When
    retire_all(objects)

    # Then
    assert stored_pairs(objects) == {"0-0", "0-2", "0-3", "0-5", "1-0", "1-1"}
    assert pinned(objects) == ["0-0", "0-2", "0-3", "0-5", "1-0", "1-1"]
    assert retire_all(objects) == 0
