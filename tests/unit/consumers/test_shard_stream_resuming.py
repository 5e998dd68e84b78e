"""A resumed stream of shards gives exactly the rest, also after a compaction."""

import pickle
from collections.abc import Callable
from itertools import islice

import pytest
from torchdata.stateful_dataloader import StatefulDataLoader

from kaption.consumers import ShardOptions, ShardStream
from kaption.consumers.shards.index import Shard, ShardIndex
from kaption.consumers.share import Share
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.folder import FolderStore
from support.compacting import compact, retire_all
from support.sink_records import orphans_in
from support.stream_records import ALL, named, pair_ids, resumed, write_chains, write_shards

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("given", [0, 1, 9, len(ALL) - 1, len(ALL)])
@pytest.mark.parametrize("buffer", [0, 5])
def test_a_resumed_stream_gives_exactly_the_rest(dataset, given, buffer):
    # Given a stream that was left after some samples
    whole = pair_ids(ShardStream(dataset, options=ShardOptions(buffer=buffer)))
    stream = ShardStream(dataset, options=ShardOptions(buffer=buffer))
    assert pair_ids(islice(stream, given)) == whole[:given]
    state = stream.state_dict()

    # When another goes on, and is itself left and resumed before its first sample
    other = resumed(dataset, resumed(dataset, state, buffer=buffer).state_dict(), buffer=buffer)

    # Then
    assert pair_ids(other) == whole[given:]
    assert pair_ids(other) == whole  # the next epoch is a whole one


@pytest.mark.parametrize("given", [0, 1, 4, 7])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_stateful_loader_gives_exactly_the_rest(dataset, given, workers):
    def loader() -> StatefulDataLoader:
        stream = ShardStream(dataset, options=ShardOptions(buffer=5))
        return StatefulDataLoader(stream, 2, num_workers=workers, collate_fn=pair_ids)

    # Given a loader whose state is taken after some batches
    whole = list(loader())
    first = loader()
    batches = iter(first)
    assert list(islice(batches, given)) == whole[:given]
    state = pickle.dumps(first.state_dict())
    del batches

    # When
    second = loader()
    second.load_state_dict(pickle.loads(state))

    # Then
    assert list(second) == whole[given:]
    assert sorted(name for batch in whole for name in batch) == ALL


def half_remove(objects: FolderStore) -> int:
    """Remove replaced data, as a `retire` that is killed before it deletes manifests."""
    keys = orphans_in(objects)
    for key in keys:
        objects.delete(key)
    return len(keys)


COMPACTIONS: dict[str, Callable[[FolderStore], object]] = {
    "none": lambda objects: None,
    "merged": compact,
    "merged and half removed": lambda objects: (compact(objects), half_remove(objects)),
    "merged and removed": lambda objects: (compact(objects), retire_all(objects)),
}


@pytest.fixture(params=COMPACTIONS)
def compaction(request) -> Callable[[FolderStore], object]:
    chosen: str = request.param
    return COMPACTIONS[chosen]


def test_shards_written_since_the_state_belong_to_the_next_epoch(dataset, tmp_path, compaction):
    # Given
    stream = ShardStream(dataset, options=ShardOptions(shuffle=False))
    whole = pair_ids(stream)
    pair_ids(islice(stream, 2))
    state = stream.state_dict()

    # When the dataset grows
    write_chains(dataset, tmp_path, {0: [[20], [21]]})
    compaction(dataset)

    # Then
    assert pair_ids(resumed(dataset, state, shuffle=False)) == whole[2:]
    assert len(pair_ids(ShardStream(dataset))) == len(whole) + 2


@pytest.mark.parametrize(("shuffle", "given"), [(False, 1), (False, 4), (True, 8)])
def test_a_stream_continues_in_shards_that_were_merged_meanwhile(
    dataset, compaction, shuffle, given
):
    # Given a stream in the middle
    stream = ShardStream(dataset, options=ShardOptions(shuffle=shuffle, buffer=3))
    whole = pair_ids(stream)
    running = iter(stream)
    first = pair_ids(islice(running, given))
    state = stream.state_dict()

    # When shards are merged
    compaction(dataset)

    # Then one that is resumed and the one that runs go on
    other = resumed(dataset, state, shuffle=shuffle, buffer=3)
    assert pair_ids(other) == whole[given:]
    assert first + pair_ids(running) == whole
    assert stream.damaged == other.damaged == {}
    assert sorted(pair_ids(ShardStream(dataset))) == ALL


@pytest.mark.parametrize("removed", [False, True])
def test_a_version_replaced_since_the_epoch_began_is_given_until_it_is_removed(
    dataset, tmp_path, removed
):
    # Given a stream that has versions of two pairs before it, one of them twice
    write_shards(dataset, tmp_path, [[named(BlobStore(dataset), 9, 1, pair_id="1-5", version=2)]])
    stream = ShardStream(dataset, options=ShardOptions(shuffle=False))
    whole = pair_ids(stream)
    pair_ids(islice(stream, 2))
    state = stream.state_dict()

    # When both are replaced by versions that are no part of its epoch, and dropped
    later = [named(BlobStore(dataset), 20 + n, 1, pair_id=f"1-{n}", version=3) for n in (0, 5)]
    write_shards(dataset, tmp_path, [later])
    assert compact(dataset).dropped == {"replaced": 3}
    if removed:
        retire_all(dataset)

    # Then the rest is the same, or lacks what is gone; nothing is there twice
    rest = pair_ids(resumed(dataset, state, shuffle=False))
    assert rest == [name for name in whole[2:] if not (removed and name in ("1-0", "1-5"))]


def shares(objects: FolderStore, since: dict[int, int]) -> list[list[Shard]]:
    index = ShardIndex(objects, "dataset")
    index.refresh()
    return [index.shards(since, Share(number, 3), whole=False) for number in range(3)]


def test_a_new_shard_has_one_reader_whether_it_is_seen_merged_or_not(dataset, tmp_path, compaction):
    # Given a dataset that was merged before, and shards that came since a reader's last look
    compact(dataset)
    write_chains(dataset, tmp_path, {0: [[12], [13], [15]], 2: [[10, 11], [12]], 3: [[0], [1]]})
    since = {0: 13, 1: 6, 2: 10}
    before = shares(dataset, since)
    assert sum(map(len, before)) == 6

    # When it looks before they are merged, and another one after
    compaction(dataset)

    # Then they agree on what is whose
    assert shares(dataset, since) == before


@pytest.mark.parametrize("share", [{"rank": 1, "world_size": 2}, {"rank": 0, "world_size": 2}])
def test_the_state_of_another_reader_is_refused(dataset, share):
    stream = ShardStream(dataset)
    next(iter(stream))
    with pytest.raises(ValueError, match="same numbers of ranks"):
        iter(resumed(dataset, stream.state_dict(), **share))


def test_the_state_of_another_stream_is_refused(dataset):
    with pytest.raises(ValueError, match="not the state of a ShardStream"):
        ShardStream(dataset).load_state_dict({"kind": "topic/1"})
