"""Samples from shards: each is given once, in a chosen order, by any readers."""

import logging
import multiprocessing
import subprocess
import sys
from multiprocessing.queues import Queue

import pytest
import torch
from torch.utils.data import DataLoader

from kaption.connections.settings import StoreConnection
from kaption.consumers import ShardOptions, ShardStream
from kaption.objectstore.folder import FolderStore
from support.stream_records import ALL, CHAINS, pair_ids

pytestmark = pytest.mark.slow


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
    found = [out.get(timeout=600) for _ in processes]

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


def test_an_empty_dataset_has_no_samples_and_says_so(objects, caplog):
    with caplog.at_level(logging.WARNING, "kaption"):
        assert list(ShardStream(objects)) == []
    (told,) = [each.getMessage() for each in caplog.records]
    assert "there are no shards below the prefix" in told


@pytest.mark.parametrize("options", [{"rank": 1}, {"rank": 2, "world_size": 2}])
def test_an_impossible_rank_is_refused(objects, options):
    with pytest.raises(ValueError, match="rank"):
        ShardStream(objects, options=ShardOptions(**options))


def test_importing_consumers_does_not_load_torch():
    code = "import sys, kaption.consumers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
