"""A pinned stream gives the same samples in the same order, whatever comes after the pin."""

import pickle
from itertools import chain, islice
from typing import Any

import pytest
from torchdata.stateful_dataloader import StatefulDataLoader

from kaption.consumers import ShardOptions, ShardStream
from kaption.consumers.shards.index import ShardError, ShardIndex
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.chain import ManifestChain
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.pins import add_pin, delete_pin
from kaption.objectstore.folder import FolderStore
from kaption.schemas import TakedownKind
from kaption.workers.compaction import Limits, find_orphans
from support.compacting import LATER, compact, retire_all
from support.sink_records import now
from support.stream_records import (
    ALL,
    named,
    pair_ids,
    resumed,
    take_down,
    write_chains,
    write_shards,
)

pytestmark = pytest.mark.slow
MERGE_SOME = Limits(below=1 << 40, to=1 << 40, records=5)


def pin(objects: FolderStore, name: str = "one") -> None:
    add_pin(objects, "dataset", name, f"w-{name}", now())


def pinned(objects: FolderStore, name: str | None = "one", **options: Any) -> ShardStream:
    return ShardStream(objects, options=ShardOptions(pin=name, **options), seed=3)


def history(objects: FolderStore, tmp_path) -> None:
    """Add shards and a partition, replace three pairs, merge twice, and remove what may go."""
    blobs = BlobStore(objects)
    later = [named(blobs, 20 + n, 0, pair_id=f"0-{n}", version=2) for n in (0, 5, 8)]
    write_shards(objects, tmp_path, [later])
    compact(objects, MERGE_SOME)
    retire_all(objects)
    write_chains(objects, tmp_path, {0: [[24], [25]], 1: [[9]], 2: [[12]], 4: [[0], [1]]})
    compact(objects)
    retire_all(objects)
    for key in find_orphans(objects, "dataset", LATER):
        objects.delete(key)


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("readers", [1, 3])
@pytest.mark.parametrize("options", [{"shuffle": False}, {"buffer": 4}, {"latest": False}])
def test_a_pin_gives_the_same_samples_in_the_same_order(
    dataset, tmp_path, merged, readers, options
):
    # Given a version, in which a pair has an older version too
    write_shards(dataset, tmp_path, [[named(BlobStore(dataset), 11, 2, pair_id="2-4", version=2)]])
    if merged:
        compact(dataset, MERGE_SOME)

    def read(name: str | None) -> list[list[str]]:
        ranks = [{"rank": rank, "world_size": readers} for rank in range(readers)]
        return [pair_ids(pinned(dataset, name, **rank, **options)) for rank in ranks]

    pin(dataset)
    before = read(None)
    assert read("one") == before

    # When
    history(dataset, tmp_path)

    # Then
    assert read("one") == before
    assert set(chain.from_iterable(read(None))) - set(chain.from_iterable(before))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_of_a_pin_resumes_exactly_after_a_compaction(dataset, tmp_path, workers):
    def loader() -> StatefulDataLoader[Any]:
        return StatefulDataLoader(
            pinned(dataset, buffer=5), 2, num_workers=workers, collate_fn=pair_ids
        )

    # Given a loader that was left after some batches
    compact(dataset, MERGE_SOME)
    pin(dataset)
    whole = list(loader())
    first = loader()
    batches = iter(first)
    assert list(islice(batches, 4)) == whole[:4]
    state = pickle.dumps(first.state_dict())
    del batches

    # When
    history(dataset, tmp_path)
    second = loader()
    second.load_state_dict(pickle.loads(state))

    # Then
    assert list(second) == whole[4:]
    assert sorted(chain.from_iterable(whole)) == ALL


def test_what_is_taken_down_leaves_the_pin_and_the_rest_stays(dataset, tmp_path, monkeypatch):
    # Given a pinned version, and one pair of each partition that is taken down after it was merged
    pin(dataset)
    whole = {rank: pair_ids(pinned(dataset, rank=rank, world_size=2)) for rank in range(2)}
    plain = pair_ids(pinned(dataset, shuffle=False))
    history(dataset, tmp_path)
    for name in ("0-4", "1-2", "2-8"):
        take_down(dataset, TakedownKind.PAIR, name)
        whole = {rank: [each for each in whole[rank] if each != name] for rank in whole}
        plain.remove(name)
    read = {rank: pair_ids(pinned(dataset, rank=rank, world_size=2)) for rank in range(2)}
    assert read == whole

    # When their data is removed
    running = iter(pinned(dataset, shuffle=False))
    begun = pair_ids(islice(running, 1))
    state = pinned(dataset, shuffle=False)
    assert pair_ids(islice(iter(state), 5)) == plain[:5]
    saved = state.state_dict()
    compact(dataset)
    retire_all(dataset)

    # Then each reader has the same samples, and those that come in order have the same order
    with monkeypatch.context() as patch:
        patch.setattr(ShardIndex, "moved", lambda *_: pytest.fail("looked for it"))
        for rank in range(2):
            stream = pinned(dataset, rank=rank, world_size=2)
            assert sorted(pair_ids(stream)) == sorted(whole[rank])
            assert stream.damaged == {}
    assert pair_ids(pinned(dataset, shuffle=False)) == plain
    assert begun + pair_ids(running) == plain
    assert pair_ids(resumed(dataset, saved, shuffle=False, pin="one")) == plain[5:]

    # and also where no checkpoint says what is gone
    for key in list(dataset.list(Layout("dataset").checkpoints())):
        dataset.delete(key)
    assert pair_ids(pinned(dataset, shuffle=False)) == plain


def test_a_pin_is_right_without_checkpoints(dataset, tmp_path):
    # Given a version with a replaced sample, which compaction has left out since
    write_shards(dataset, tmp_path, [[named(BlobStore(dataset), 11, 2, pair_id="2-4", version=2)]])
    pin(dataset)
    whole = pair_ids(pinned(dataset))
    history(dataset, tmp_path)

    # When what checkpoints know is lost, and made anew
    layout = Layout("dataset")
    for folder in (layout.checkpoints(), layout.all_pairs(), layout.all_versions()):
        for key in list(dataset.list(folder)):
            dataset.delete(key)
    assert pair_ids(pinned(dataset)) == whole
    compact(dataset)

    # Then
    assert list(dataset.list(layout.checkpoints()))
    assert pair_ids(pinned(dataset)) == whole


def test_a_pinned_start_costs_the_same_calls_however_much_came_since(dataset, tmp_path):
    # Given
    class Counted(FolderStore):
        calls = 0

        def get(self, key):
            self.calls += 1
            return super().get(key)

        def list(self, prefix, after=""):
            self.calls += 1
            return super().list(prefix, after)

    compact(dataset, Limits(1, 1, 1))
    pin(dataset)

    def calls() -> int:
        counted = Counted(tmp_path / "store")
        next(iter(pinned(counted, buffer=0)))
        return counted.calls

    # When
    before = calls()
    write_chains(dataset, tmp_path, {0: [[offset] for offset in range(20, 50)]})
    compact(dataset)
    retire_all(dataset)

    # Then
    assert calls() == before


def test_follow_is_refused(dataset):
    with pytest.raises(ValueError, match="pin='one' names a version that does not change"):
        ShardOptions(pin="one", follow=True)


def test_a_state_goes_on_with_its_own_pin_alone(dataset, tmp_path):
    # Given the state of a pinned stream
    pin(dataset)
    stream = pinned(dataset, shuffle=False)
    next(iter(stream))
    state = stream.state_dict()
    pin(dataset, "two")

    # When / Then
    for other in ("two", None):
        with pytest.raises(ValueError, match="resume with the same pin"):
            list(resumed(dataset, state, pin=other, shuffle=False))
    delete_pin(dataset, "dataset", "one", now())
    write_chains(dataset, tmp_path, {1: [[9]]})
    pin(dataset)
    with pytest.raises(ValueError, match="one was pinned anew since the state was saved"):
        list(resumed(dataset, state, pin="one", shuffle=False))


def test_a_pin_of_another_topic_is_refused(dataset, tmp_path):
    # Given manifests that name their topic, in a version that is pinned
    manifests = read_manifests(dataset, "dataset")
    for each in manifests:
        ManifestChain(dataset, "dataset").take_topic(each, "first")
    pin(dataset)
    assert sorted(pair_ids(pinned(dataset))) == ALL

    # When others are written at their offsets
    for each in manifests:
        ManifestChain(dataset, "dataset").take_topic(each, "second")

    # Then
    with pytest.raises(
        ShardError, match=r"another topic than when one was pinned \(id second, not"
    ):
        list(pinned(dataset))


def test_a_pin_whose_manifests_are_gone_is_an_error(dataset):
    pin(dataset)
    dataset.delete(Layout("dataset").manifest(2, 8))
    with pytest.raises(ShardError, match="no longer reaches offset 10, which one has pinned"):
        list(pinned(dataset))
