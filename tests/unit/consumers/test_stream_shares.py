"""Who reads which part: merged shards in equal runs, idle readers, loaders of accelerate."""

import logging
import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import ChainDataset, DataLoader, IterableDataset

from kaption.consumers import Sample, ShardOptions, ShardStream
from kaption.objectstore.folder import FolderStore
from kaption.workers.compaction import Limits
from kaption.workers.local.server import HOST, free_ports
from support.compacting import ALL, compact
from support.stream_records import pair_ids, write_chains

pytestmark = pytest.mark.slow


def chains(*shards: int, pairs: int = 3) -> dict[int, list[list[int]]]:
    """Make chains of that many shards, by partition."""
    return {
        partition: [list(range(pairs * at, pairs * at + pairs)) for at in range(count)]
        for partition, count in enumerate(shards)
    }


def written(
    tmp_path: Path, *shards: int, limits: Limits | None = ALL, pairs: int = 3
) -> FolderStore:
    objects = FolderStore(tmp_path / "store")
    write_chains(objects, tmp_path, chains(*shards, pairs=pairs))
    if limits is not None:
        compact(objects, limits)
    return objects


def read(objects: FolderStore, readers: int, **options: Any) -> list[list[str]]:
    return [
        pair_ids(ShardStream(objects, options=ShardOptions(rank=n, world_size=readers, **options)))
        for n in range(readers)
    ]


def names(*shards: int, pairs: int = 3) -> list[str]:
    return sorted(
        f"{partition}-{offset}"
        for partition, chain in chains(*shards, pairs=pairs).items()
        for each in chain
        for offset in each
    )


# Merged shards


@pytest.mark.parametrize("shards", [(20,), (6, 6), (1, 7, 2), (5, 4, 3, 2, 1), (8, 8), (1, 9)])
@pytest.mark.parametrize("readers", [1, 2, 3, 7, 8])
def test_merged_shards_are_dealt_in_parts(tmp_path, shards, readers):
    # Given partitions that are merged; a lone shard is not
    objects = written(tmp_path, *shards)

    # When
    found = read(objects, readers)

    # Then each sample has one reader, and readers differ by one part and the lone shards at most
    assert sorted(name for each in found for name in each) == names(*shards)
    counts = [len(each) for each in found]
    assert max(counts) - min(counts) <= 3 * (1 + shards.count(1))


@pytest.mark.parametrize(
    "sizes", [[[9, 1] * 12], [[6, 6, 2]] * 4, [[2]] * 6, [[5, 5, 5, n % 5 + 1] for n in range(12)]]
)
@pytest.mark.parametrize("readers", [2, 8])
def test_unmerged_shards_of_uneven_sizes_are_dealt_by_their_sizes(tmp_path, sizes, readers):
    # Given shards that were closed by their age
    objects, dealt = FolderStore(tmp_path / "store"), dict[int, list[list[int]]]()
    for partition, counts in enumerate(sizes):
        ends = list(accumulate(counts, initial=0))
        dealt[partition] = [list(range(*bounds)) for bounds in pairwise(ends)]
    write_chains(objects, tmp_path, dealt)
    # When
    counts = [len(each) for each in read(objects, readers)]
    # Then each sample has a reader, and none reads much more than its part
    assert sum(counts) == sum(map(sum, sizes))
    assert max(counts) - sum(counts) / readers <= max(map(max, sizes))


def test_growth_gives_no_shard_to_another_reader(tmp_path):
    # Given readers, some of which look before a shard is added, and some after
    objects, rounds = FolderStore(tmp_path / "store"), [[0, 1, 2, 3], [4], [5, 6], [7], [8]]
    found = []
    for seen in range(1, len(rounds) + 1):
        write_chains(objects, tmp_path, {0: rounds[:seen]})
        found.append(read(objects, 3))
    # Then each keeps what it had
    for before, after in pairwise(found):
        assert all(set(b) <= set(a) for b, a in zip(before, after, strict=True))


def test_large_and_small_merged_shards_are_dealt_over_all_partitions(tmp_path):
    objects = written(tmp_path, 9, 9, limits=Limits(below=1 << 40, to=1 << 40, records=9))
    counts = [len(each) for each in read(objects, 6)]
    assert counts == [9] * 6


def test_a_reader_s_run_of_a_merged_shard_is_fetched_once(tmp_path, monkeypatch):
    # Given one merged shard of 20 parts, and readers that count what they fetch
    objects, get = written(tmp_path, 20), FolderStore.get
    fetched: list[str] = []

    def counted(self: FolderStore, key: str) -> bytes:
        fetched.append(key)
        return get(self, key)

    monkeypatch.setattr(FolderStore, "get", counted)

    # When
    read(objects, 4, latest=False)

    # Then
    assert sum(key.endswith(".tar") for key in fetched) == 4


def test_workers_of_ranks_share_merged_shards_evenly(tmp_path):
    objects, counts = written(tmp_path, 6), []
    for rank in range(2):
        stream = ShardStream(objects, options=ShardOptions(rank=rank, world_size=2))
        loader = DataLoader(stream, batch_size=None, num_workers=4)
        counts.append(len(list(loader)))
    assert counts == [9, 9]


def test_a_resumed_reader_goes_on_within_its_run(tmp_path):
    # Given a reader that left its part of a merged shard in the middle
    objects = written(tmp_path, 7)
    options = ShardOptions(rank=1, world_size=2, buffer=2)
    whole, stream = pair_ids(ShardStream(objects, options=options)), ShardStream(objects)
    stream = ShardStream(objects, options=options)
    running = iter(stream)
    given = [next(running).pair.pair_id for _ in range(4)]

    # When
    other = ShardStream(objects, options=options)
    other.load_state_dict(stream.state_dict())

    # Then
    assert given + pair_ids(other) == whole


# Idle readers


def test_an_idle_reader_is_told_once(tmp_path, caplog):
    objects = written(tmp_path, 2, limits=None)
    with caplog.at_level(logging.WARNING, "kaption"):
        assert [len(each) for each in read(objects, 3)] == [3, 3, 0]
    (told,) = [each.getMessage() for each in caplog.records]
    assert "reader 2 of 3 has nothing to read: there are fewer shards than readers" in told


def test_an_idle_reader_is_an_error_on_request(tmp_path):
    objects = written(tmp_path, 2)
    options = ShardOptions(rank=2, world_size=3, idle_error=True)
    with pytest.raises(ValueError, match="fewer shards than readers"):
        list(ShardStream(objects, options=options))


def test_a_reader_of_an_empty_dataset_is_not_idle(tmp_path, caplog):
    options = ShardOptions(rank=1, world_size=2, idle_error=True)
    assert list(ShardStream(FolderStore(tmp_path), options=options)) == []
    (told,) = [each.getMessage() for each in caplog.records]
    assert "there are no shards" in told


# accelerate and Trainer, each on two processes


class Mapped(IterableDataset[torch.Tensor]):
    """A user's own dataset around the stream: partition and offset of each sample."""

    def __init__(self, samples: IterableDataset[Sample]) -> None:
        self.samples = samples

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (_place(sample) for sample in self.samples)


def _place(sample: Sample) -> torch.Tensor:
    return torch.tensor([int(each) for each in sample.pair.pair_id.split("-")])


def _places(samples: Sequence[Sample]) -> torch.Tensor:
    return torch.stack([_place(sample) for sample in samples])


def _listed(batches: Any) -> list[str]:
    return ["-".join(map(str, row)) for batch in batches for row in batch.tolist()]


def _prepared(objects: FolderStore, wrap: str, loader: dict[str, Any], **config: Any) -> list[str]:
    from accelerate import Accelerator
    from accelerate.utils import DataLoaderConfiguration

    accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(**config))
    stream = ShardStream(objects)
    if wrap == "mapped":
        return _listed(accelerator.prepare(DataLoader(Mapped(stream), 2, **loader)))
    samples = ChainDataset([stream]) if wrap == "chained" else stream
    return _listed(accelerator.prepare(DataLoader(samples, 2, collate_fn=_places, **loader)))


def _unprepared(objects: FolderStore) -> list[str]:
    from accelerate import Accelerator

    Accelerator(cpu=True)
    return _listed(DataLoader(ShardStream(objects), 2, collate_fn=_places))


def _within(objects: FolderStore) -> list[str]:
    """Read a stream of its own in the loop over a prepared loader."""
    from accelerate import Accelerator

    loader = Accelerator(cpu=True).prepare(DataLoader(ShardStream(objects), 2, collate_fn=_places))
    for _ in loader:
        return _listed(DataLoader(ShardStream(objects), 2, collate_fn=_places))
    return []


def _skipped(objects: FolderStore) -> list[str]:
    from accelerate import Accelerator, skip_first_batches

    Accelerator(cpu=True)
    loader = DataLoader(ShardStream(objects), 2, collate_fn=_places)
    return _listed(skip_first_batches(loader, 0))


def _given(objects: FolderStore) -> list[str]:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    options = ShardOptions(rank=accelerator.process_index, world_size=2)
    loader = accelerator.prepare(
        DataLoader(ShardStream(objects, options=options), 2, collate_fn=_places)
    )
    try:
        return _listed(loader)
    except ValueError as error:
        return [str(error)]


def _collated(samples: Sequence[Sample]) -> dict[str, Any]:
    return {"places": _places(samples)}


def _trained(objects: FolderStore, **given: Any) -> list[str]:
    from transformers import Trainer, TrainingArguments

    seen: list[torch.Tensor] = []

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, places: torch.Tensor) -> dict[str, torch.Tensor]:
            seen.append(places)
            return {"loss": (self.weight * places).sum()}

    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=2,
        max_steps=9,
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        **given,
    )
    Trainer(
        model=Model(),
        args=arguments,
        train_dataset=ShardStream(objects),
        data_collator=_collated,
    ).train()
    return _listed(seen)


WAYS: dict[str, tuple[Any, ...]] = {
    "dispatched": (_prepared, "", {}),
    "dispatched, workers": (_prepared, "", {"num_workers": 2}),
    "dispatched, spawned": (
        _prepared,
        "",
        {"num_workers": 2, "multiprocessing_context": "spawn"},
    ),
    "sharded": (_prepared, "", {}, {"dispatch_batches": False}),
    "sharded, spawned": (
        _prepared,
        "",
        {"num_workers": 1, "multiprocessing_context": "spawn"},
        {"dispatch_batches": False},
    ),
    "sharded, mapped": (_prepared, "mapped", {}, {"dispatch_batches": False}),
    "split batches": (_prepared, "", {}, {"split_batches": True}),
    "stateful": (_prepared, "", {}, {"use_stateful_dataloader": True}),
    "stateful, sharded": (
        _prepared,
        "",
        {},
        {"use_stateful_dataloader": True, "dispatch_batches": False},
    ),
    "mapped": (_prepared, "mapped", {}),
    "chained": (_prepared, "chained", {}),
    "not prepared": (_unprepared,),
    "not prepared, skipping": (_skipped,),
    "within another loop": (_within,),
    "Trainer": (_trained,),
    "Trainer, sharded": (_trained, {"accelerator_config": {"dispatch_batches": False}}),
    "Trainer, workers": (_trained, {"dataloader_num_workers": 2}),
    "rank given": (_given,),
}


def _process(rank: int, port: int, objects: FolderStore, out: Any) -> None:
    group = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in group.items()}
    os.environ |= {"MASTER_ADDR": HOST, "ACCELERATE_USE_CPU": "1"}
    torch.distributed.init_process_group("gloo")
    found = {}
    for name, (way, *given) in WAYS.items():
        config = given.pop() if (given and way is not _prepared) or len(given) == 3 else {}
        try:
            found[name] = way(objects, *given, **config)
        except Exception:  # noqa: BLE001  # the test shows it
            found[name] = [traceback.format_exc()]
    out.put(found)
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def read_by_two(tmp_path_factory) -> dict[str, list[list[str]]]:
    """What each of two processes got, in each way; the dataset has 36 samples in 4 merged parts."""
    objects = written(tmp_path_factory.mktemp("shares"), 2, 2, pairs=9)
    (port,) = free_ports(1)
    # A fork would take over what other tests left in the memory of accelerate and torch.
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    processes = [
        context.Process(target=_process, args=(rank, port, objects, out)) for rank in range(2)
    ]
    for each in processes:
        each.start()
    found = [out.get(timeout=600) for _ in processes]
    for each in processes:
        each.join()
    return {name: [each[name] for each in found] for name in WAYS}


@pytest.mark.parametrize("name", [name for name in WAYS if name != "rank given"])
def test_two_processes_get_each_sample_once_between_them(read_by_two, name):
    found = read_by_two[name]
    assert all(found)
    assert sorted(name for each in found for name in each) == names(2, 2, pairs=9)


def test_a_given_rank_that_accelerate_would_split_again_is_refused(read_by_two):
    refused = [name for each in read_by_two["rank given"] for name in each]
    assert any("accelerate would split that part again" in each for each in refused)
