"""Samples from shards: each is given once, by any readers, also after resuming."""

import json
import logging
import multiprocessing
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import islice
from multiprocessing.queues import Queue

import pytest
import torch
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from kaption.connections.errors import Retry
from kaption.connections.settings import StoreConnection
from kaption.consumers import ShardOptions, ShardStream
from kaption.consumers.shards.index import Shard, ShardError, ShardIndex
from kaption.consumers.share import Share
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.folder import FolderStore
from kaption.schemas import TakedownKind
from support.compacting import compact, retire_all
from support.sink_records import orphans_in
from support.stream_records import named, pair_ids, take_down, write_chains, write_shards

pytestmark = pytest.mark.slow

CHAINS = {
    0: [[0, 1, 2], [4, 5], [7, 8, 9]],
    1: [[0, 1, 2, 3], [5]],
    2: [[2, 3], [4, 5], [6, 7], [8, 9]],
}
FIRST = [offset for each in CHAINS[0] for offset in each]
ALL = sorted(f"{p}-{offset}" for p, chain in CHAINS.items() for each in chain for offset in each)


@pytest.fixture
def objects(tmp_path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def dataset(objects: FolderStore, tmp_path) -> FolderStore:
    write_chains(objects, tmp_path, CHAINS)
    return objects


def tar_keys(objects) -> list[str]:
    return [f"dataset/{each.objects[0].key}" for each in read_manifests(objects, "dataset")]


def resumed(objects, state, **options) -> ShardStream:
    stream = ShardStream(objects, options=ShardOptions(**options))
    stream.load_state_dict(json.loads(json.dumps(state)))
    return stream


# Which samples, in which order


@pytest.mark.parametrize("buffer", [0, 4, 1000])
def test_an_epoch_gives_each_sample_once_with_its_image(dataset, buffer):
    samples = list(ShardStream(dataset, options=ShardOptions(buffer=buffer)))
    assert sorted(pair_ids(samples)) == ALL
    assert all(len(sample.image) == sample.pair.image.blob.bytes for sample in samples)


def test_a_connection_is_opened_where_the_stream_is_read(dataset, tmp_path):
    connection = StoreConnection(url=str(tmp_path / "store"))
    assert pair_ids(ShardStream(connection)) == pair_ids(ShardStream(dataset))


def test_seed_and_epoch_decide_the_order(dataset):
    # Given / When
    stream = ShardStream(dataset, options=ShardOptions(buffer=4), seed=7)
    first, again = pair_ids(stream), pair_ids(stream)
    stream.set_epoch(1)
    second = pair_ids(stream)
    other_seed = pair_ids(ShardStream(dataset, options=ShardOptions(buffer=4), seed=8))

    # Then
    assert first == again
    assert sorted(first) == sorted(second) == sorted(other_seed) == ALL
    assert first != second != other_seed != first


def test_without_shuffling_samples_come_by_partition_and_offset(dataset):
    found = pair_ids(ShardStream(dataset, options=ShardOptions(shuffle=False)))
    assert found == [f"{p}-{o}" for p, chain in CHAINS.items() for each in chain for o in each]


def test_ranks_share_the_shards(dataset):
    found = [
        pair_ids(ShardStream(dataset, options=ShardOptions(rank=rank, world_size=3)))
        for rank in range(3)
    ]
    assert all(found)
    assert sorted(name for each in found for name in each) == ALL


def _read_as(rank: int, meeting: str, objects: FolderStore, out: "Queue[list[str]]") -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=2
    )
    stream = ShardStream(objects)
    loader = DataLoader(stream, batch_size=None, num_workers=1, multiprocessing_context="spawn")
    out.put([sample.pair.pair_id for sample in loader])
    torch.distributed.destroy_process_group()


@pytest.mark.integration  # spawned processes load torch anew
def test_ranks_come_from_torch_distributed(dataset, tmp_path):
    # Given two processes of one group, with workers that know nothing of it
    out: Queue[list[str]] = multiprocessing.get_context("fork").Queue()
    processes = [
        multiprocessing.get_context("fork").Process(
            target=_read_as, args=(rank, str(tmp_path / "meeting"), dataset, out)
        )
        for rank in range(2)
    ]
    for each in processes:
        each.start()

    # When
    found = [out.get(timeout=120) for _ in processes]

    # Then
    for each in processes:
        each.join()
    assert all(found)
    assert sorted(name for each in found for name in each) == ALL


def test_workers_of_ranks_share_the_shards(dataset):
    found: list[str] = []
    for rank in range(2):
        stream = ShardStream(dataset, options=ShardOptions(rank=rank, world_size=2))
        loader = DataLoader(stream, batch_size=2, num_workers=2, collate_fn=pair_ids)
        found += [name for batch in loader for name in batch]
    assert sorted(found) == ALL


def test_persistent_workers_see_the_next_epoch(dataset):
    stream = ShardStream(dataset, options=ShardOptions(buffer=4))
    loader = DataLoader(
        stream, batch_size=1, num_workers=1, persistent_workers=True, collate_fn=pair_ids
    )
    first = list(loader)
    stream.set_epoch(1)
    assert list(loader) != first
    stream.set_epoch(0)
    assert list(loader) == first


def test_an_empty_dataset_has_no_samples(objects):
    assert list(ShardStream(objects)) == []


@pytest.mark.parametrize("options", [{"rank": 1}, {"rank": 2, "world_size": 2}])
def test_an_impossible_rank_is_refused(objects, options):
    with pytest.raises(ValueError, match="rank"):
        ShardStream(objects, options=ShardOptions(**options))


# Resuming


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


# Versions, takedowns, damage


def test_only_the_latest_version_is_given(objects, tmp_path):
    # Given versions of one pair in one shard and in another, and an older one that came last
    blobs = BlobStore(objects)
    versions = [(0, 1), (1, 2), (5, 4), (6, 3)]
    messages = [named(blobs, o, 0, pair_id="same", version=version) for o, version in versions]
    write_shards(objects, tmp_path, [[*messages[:2], named(blobs, 2, 0)], messages[2:]])

    # When
    stream = ShardStream(objects)
    found = {(sample.pair.pair_id, sample.pair.version) for sample in stream}

    # Then
    assert found == {("same", 4), ("0-2", 1)}
    assert stream.skipped == {"replaced": 3}
    assert len(list(ShardStream(objects, options=ShardOptions(latest=False)))) == 5


def test_a_pair_taken_down_while_in_the_buffer_is_left_out(dataset):
    # Given a stream that holds all samples in its buffer
    take_down(dataset, TakedownKind.PAIR, "0-4")
    stream = ShardStream(dataset, options=ShardOptions(takedown_s=0))
    running = iter(stream)
    first = next(running)
    left = next(name for name in ALL if name not in (first.pair.pair_id, "0-4"))

    # When another is taken down
    take_down(dataset, TakedownKind.PAIR, left)

    # Then
    found = [first.pair.pair_id, *pair_ids(running)]
    assert sorted(found) == [name for name in ALL if name not in ("0-4", left)]
    assert stream.skipped == {"taken_down": 2}


def test_damaged_objects_are_left_out_and_reported_once(dataset, caplog):
    # Given one tar with a changed byte, one that is short, and one that is gone
    changed, short, gone = tar_keys(dataset)[:3]
    data = dataset.get(changed)
    dataset.put(changed, data[:600] + bytes([data[600] ^ 1]) + data[601:])
    dataset.put(short, dataset.get(short)[:-512])
    dataset.delete(gone)
    told: list[str] = []

    # When
    options = ShardOptions(on_damage=lambda key, what: told.append(key))
    stream = ShardStream(dataset, options=options)
    with caplog.at_level(logging.WARNING):
        found = pair_ids(stream)

    # Then all of partition 0 is missing, and nothing else
    assert sorted(found) == [name for name in ALL if not name.startswith("0-")]
    keys = sorted(key.removeprefix("dataset/") for key in (changed, short, gone))
    assert sorted(told) == sorted(stream.damaged) == keys
    assert stream.damaged[gone.removeprefix("dataset/")] == "missing"
    assert len([each for each in caplog.records if "is left out" in each.message]) == 3


def test_a_worker_s_state_names_damaged_objects(dataset):
    dataset.delete(tar_keys(dataset)[0])
    loader = StatefulDataLoader(ShardStream(dataset), 2, num_workers=1, collate_fn=pair_ids)
    list(loader)
    (worker,) = loader.state_dict()["_snapshot"]["_worker_snapshots"].values()
    ((key, what),) = worker["dataset_state"]["damaged"]
    assert (f"dataset/{key}", what) == (tar_keys(dataset)[0], "missing")


@pytest.mark.parametrize(("start", "end"), [(0, 3), (3, 6)])
def test_a_gap_in_a_chain_is_an_error_that_names_it(dataset, start, end):
    dataset.delete(Layout("dataset").manifest(0, start))
    with pytest.raises(ShardError, match=f"partition 0: .* offsets {start} to {end}: restore"):
        list(ShardStream(dataset))


def test_a_stream_waits_for_a_store_that_is_down_for_a_while(dataset, tmp_path):
    class Away(FolderStore):
        calls = 0

        def get(self, key: str) -> bytes:
            Away.calls += 1
            if Away.calls % 9 == 0:
                raise Retry("away")
            return super().get(key)

    assert sorted(pair_ids(ShardStream(Away(tmp_path / "store")))) == ALL
    assert Away.calls > 9


# Growth


def test_follow_gives_new_samples_until_it_is_stopped(dataset, tmp_path):
    # Given a stream that has given all there is
    stop = threading.Event()
    stream = ShardStream(
        dataset, options=ShardOptions(follow=True, stop=stop, buffer=4, poll_s=0.05)
    )
    running = iter(stream)
    assert sorted(pair_ids(islice(running, len(ALL)))) == ALL

    # When shards come, to a chain there is and to a new one
    write_chains(dataset, tmp_path, {1: [[9]], 3: [[0], [1]]})
    found = pair_ids(islice(running, 2))
    state = stream.state_dict()
    found += pair_ids(islice(running, 1))

    # Then they are given, once, and after the state what was left then
    assert sorted(found) == ["1-9", "3-0", "3-1"]
    again = resumed(dataset, state, follow=True, stop=stop, buffer=4, poll_s=0.05)
    assert pair_ids(islice(again, 1)) == found[2:]
    stop.set()
    assert list(running) == []


@pytest.mark.parametrize("options", [{"shuffle": False}, {"buffer": 4}])
def test_a_stopped_stream_leaves_the_rest_for_the_next_one(dataset, options):
    # Given a stream that is stopped before it has given all there is
    stop = threading.Event()
    stream = ShardStream(
        dataset, options=ShardOptions(follow=True, stop=stop, poll_s=0.05, **options)
    )
    running = iter(stream)
    found = pair_ids(islice(running, 2))
    stop.set()
    found += pair_ids(running)
    assert len(found) < len(ALL)

    # When / Then
    found += pair_ids(resumed(dataset, stream.state_dict(), **options))
    assert sorted(found) == ALL


def test_importing_consumers_does_not_load_torch():
    code = "import sys, kaption.consumers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
