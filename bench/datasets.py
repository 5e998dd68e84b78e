"""How the start of a reader and an idle compaction grow with a dataset: `python -m bench.datasets`.

Makes datasets of 1,000, 10,000 and 100,000 shards in a folder, in 16 partitions; `--shards` gives
other sizes. Each partition has a checkpoint of all but its last ten shards, in the format of the
sink's (made here from the same entries, because real tables would take hours). One sample in 50 is
replaced by a later one. Manifests and tars are real. Measured are the first sample of a new epoch,
of a resumed one and of one reader of 512, a look for new shards by a reader that follows, a
compaction that finds nothing to do, and the Delta table of all shards and of one more shard in each
partition. Then each partition is merged into one shard, while a pin keeps all the others: measured
are a compaction that finds nothing to do, and the first sample of the pin. Each is told in seconds,
calls (a listing counts one for each thousand keys, as S3 has it) and bytes read; of an index its
memory.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from kaption.connections.settings import StoreConnection
from kaption.consumers import ShardOptions, ShardStream
from kaption.consumers.shards.index import ShardIndex
from kaption.objectstore.dataset.checkpoint import (
    PartitionCheckpoint,
    ShardEntry,
    encoded_checkpoint,
)
from kaption.objectstore.dataset.counts import store_counts
from kaption.objectstore.dataset.index import DatasetIndex
from kaption.objectstore.dataset.layout import Layout, shard_stem
from kaption.objectstore.dataset.manifests import encoded
from kaption.objectstore.dataset.pair_rows import REPLACED, digest_of, encoded_rows, pair_rows
from kaption.objectstore.dataset.pins import add_pin
from kaption.objectstore.dataset.takedowns import takedowns_digest
from kaption.objectstore.folder import FolderStore
from kaption.schemas import BlobRef, Manifest, ShardObject
from kaption.schemas.counts import Counts, PartitionCounts
from kaption.schemas.manifest import ObjectFormat
from kaption.testing.records import clean_pair, image_ref
from kaption.workers.compaction import Compactor, Limits, retire
from kaption.workers.delta_table import publish

_LAYOUT = Layout("dataset")
_PARTITIONS = 16
_TAIL = 10
_IMAGE = b"\xff\xd8" + b"0" * 300
_NOW = datetime(2026, 11, 22, tzinfo=UTC)


class CountedStore(FolderStore):
    """A folder that counts calls and bytes."""

    listings = gets = size = 0

    @property
    def calls(self) -> int:
        """Calls that S3 would have answered."""
        return self.listings + self.gets

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """One call for each thousand keys, as S3 has it."""
        keys = list(super().list(prefix, after))
        self.listings += 1 + len(keys) // 1000
        return iter(keys)

    def folders(self, prefix: str) -> Iterator[str]:
        """One call."""
        self.listings += 1
        return super().folders(prefix)

    def get(self, key: str) -> bytes:
        """One call."""
        data = super().get(key)
        self.gets += 1
        self.size += len(data)
        return data

    def get_part(self, key: str, start: int, size: int) -> bytes:
        """One call."""
        data = super().get_part(key, start, size)
        self.gets += 1
        self.size += len(data)
        return data


def tar(partition: int, offset: int, pair: dict[str, object]) -> bytes:
    """A shard of one sample."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as made:
        pair["pair_id"] = f"{partition}-{offset}"
        parts = {"jpg": _IMAGE, "json": json.dumps(pair).encode(), "txt": b"a dog"}
        for ending, data in parts.items():
            member = tarfile.TarInfo(f"{partition}-{offset}.{ending}")
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return file.getvalue()


def table(partition: int, offset: int) -> bytes:
    """The columns of a table that readers read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    row = {"pair_id": [f"{partition}-{offset}"], "version": [1], "offset": [offset]}
    pq.write_table(pa.table(row), file)
    return file.getvalue()


def make(root: Path, shards: int) -> None:
    """Write the dataset."""
    blob = BlobRef(
        sha256=hashlib.sha256(_IMAGE).hexdigest(), bytes=len(_IMAGE), media_type="image/jpeg"
    )
    pair = clean_pair(0, image=image_ref(blob)).model_dump(mode="json")
    store = FolderStore(root)
    for partition in range(_PARTITIONS):
        entries = []
        for folder in (_LAYOUT.manifests(partition), f"dataset/data/{partition:05d}"):
            (root / folder).mkdir(parents=True)
        for start in range(shards // _PARTITIONS):
            tail = start >= shards // _PARTITIONS - _TAIL
            rows = table(partition, start) if tail else b"?"
            manifest = write_shard(root, partition, start, tar(partition, start, pair), rows)
            entries.append(ShardEntry.of(manifest))
        write_checkpoint(store, partition, entries[:-_TAIL])


def write_shard(root: Path, partition: int, start: int, tar: bytes, rows: bytes) -> Manifest:
    """Write a shard of one sample; return its manifest."""
    named: list[ShardObject] = []
    data: dict[ObjectFormat, bytes] = {"webdataset": tar, "parquet": rows}
    stem = shard_stem(partition, start, start + 1, "bench")
    for kind, content in data.items():
        key = f"{stem}.{kind}"
        (root / "dataset" / key).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        named.append(ShardObject(key=key, format=kind, bytes=len(content), sha256=digest))
    manifest = Manifest(
        topic="pairs.clean",
        partition=partition,
        start=start,
        end=start + 1,
        pairs=1,
        writer="bench",
        created_at=_NOW,
        objects=tuple(named),
    )
    (root / _LAYOUT.key_of(manifest)).write_bytes(encoded(manifest))
    return manifest


def write_checkpoint(store: FolderStore, partition: int, entries: list[ShardEntry]) -> None:
    """Write a checkpoint of the entries, and counters of them."""
    number = 1 + len(list(store.list(_LAYOUT.checkpoints(partition))))
    end = max(each.end for each in entries)
    every = np.arange(end)
    old = every[every % 50 == 7]
    replaced = np.empty(len(old), REPLACED)
    replaced["offset"], replaced["since"] = old, np.minimum(old + 40, end - 1)
    digest = takedowns_digest(())
    rows = pair_rows((f"{partition}-{offset}" for offset in every), 1, every)
    pairs, versions = encoded_rows(rows), encoded_rows(replaced)
    head = PartitionCheckpoint(
        number=number,
        end=end,
        last=max(each.start for each in entries if not each.generation),
        generation=(generation := max(each.generation for each in entries)),
        pairs=(_LAYOUT.pairs(partition, 0, end, digest_of(pairs)),),
        replaced=_LAYOUT.versions(partition, end, digest_of(versions)),
        takedowns=digest,
        examined=end,
    )
    store.put(head.pairs[0], pairs)
    store.put(str(head.replaced), versions)
    store.put(_LAYOUT.checkpoint(partition, number), encoded_checkpoint(head, entries))
    counts = PartitionCounts(
        end=end, generation=generation, takedowns=digest, table_bytes=0, counts=Counts(pairs=end)
    )
    store_counts(store, "dataset", partition, counts)


def merge(root: Path) -> None:
    """Write a manifest for all shards of each partition. It has no data."""
    store = FolderStore(root)
    for partition, stored in DatasetIndex(store, "dataset").read().items():
        starts = sorted(each.start for each in stored.entries)
        merged = Manifest(
            topic="pairs.clean",
            partition=partition,
            start=0,
            end=starts[-1] + 1,
            pairs=len(starts),
            writer="bench",
            created_at=_NOW,
            objects=(),
            generation=1,
            parts=tuple(starts),
        )
        store.put(_LAYOUT.key_of(merged), encoded(merged))
        write_checkpoint(store, partition, [*stored.entries, ShardEntry.of(merged)])


def measured(
    root: Path, what: Callable[[CountedStore], object], store: CountedStore | None = None
) -> str:
    """Run it, and say what it cost."""
    store = store or CountedStore(root)
    store.listings = store.gets = store.size = 0
    began, worked = time.perf_counter(), time.process_time()
    what(store)
    seconds, busy = time.perf_counter() - began, time.process_time() - worked
    cost = f"{store.calls:5d} calls {store.size / 1e6:6.2f} MB read"
    return f"{seconds:6.2f} s ({busy:.2f} s of processor time) {cost}"


def first_sample(
    store: CountedStore,
    world: int = 1,
    state: dict[str, Any] | None = None,
    pin: str | None = None,
) -> dict[str, Any]:
    """Begin an epoch, or go on with one."""
    options = ShardOptions(rank=0, world_size=world, buffer=0, pin=pin)
    stream = ShardStream(store, options=options)
    if state is not None:
        stream.load_state_dict(state)
    next(iter(stream))
    return stream.state_dict()


def compact(store: CountedStore, held: int = 0) -> None:
    """Compact where there is nothing to do, and pins keep `held` shards."""
    done = Compactor(store, "dataset", Limits(1, 1 << 30, 1 << 30), writer="bench")
    assert done.run().before == 0
    found = retire(store, "dataset", _NOW)
    assert (found.shards, found.held) == (0, held)


def publish_table(root: Path, store: CountedStore) -> None:
    """Publish the table. What deltalake reads counts too: its bytes, not its calls."""
    before = files_read()
    with patch("kaption.workers.delta_table.open_store", lambda _: store):
        publish(StoreConnection(url=str(root)), "dataset")
    store.size = files_read() - before


def files_read() -> int:
    """Bytes that this process has read from files."""
    return int(Path("/proc/self/io").read_text().split()[1])


def memory(root: Path) -> int:
    """Bytes that the index of a reader takes."""
    tracemalloc.start()
    index = ShardIndex(FolderStore(root), "dataset")
    index.refresh()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held


def main() -> None:
    """Print a line for each size and each thing that is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    for shards in parser.parse_args().shards:
        folder = Path(tempfile.mkdtemp(prefix="kaption-bench-"))
        try:
            make(folder, shards)
            report(folder, shards, f"{shards:7,} shards")
        finally:
            shutil.rmtree(folder)


def report(folder: Path, shards: int, size: str) -> None:
    """Print what the dataset in the folder costs."""
    state = first_sample(CountedStore(folder))
    print(f"{size}, new epoch:         {measured(folder, first_sample)}")
    print(f"{size}, one of 512 ranks:  {measured(folder, partial(first_sample, world=512))}")
    print(f"{size}, resumed:           {measured(folder, partial(first_sample, state=state))}")
    follower = CountedStore(folder)
    index = ShardIndex(follower, "dataset")
    index.refresh()
    look = measured(folder, lambda _: index.refresh(), follower)
    print(f"{size}, a follower's look: {look}")
    print(f"{size}, index of a reader: {memory(folder) / 1e6:6.1f} MB of memory")
    store = FolderStore(folder)
    for partition, stored in DatasetIndex(store, "dataset").read().items():
        write_checkpoint(store, partition, list(stored.entries))
    print(f"{size}, idle compaction:   {measured(folder, compact)}", flush=True)
    add_pin(store, "dataset", "bench", "bench", _NOW)
    table_of_all = measured(folder, partial(publish_table, folder))
    print(f"{size}, table of all:      {table_of_all}", flush=True)
    for partition in range(_PARTITIONS):
        write_shard(folder, partition, shards // _PARTITIONS, b"?", b"?")
    new_shards = measured(folder, partial(publish_table, folder))
    print(f"{size}, table follows {_PARTITIONS}:  {new_shards}", flush=True)
    merge(folder)
    idle = measured(folder, partial(compact, held=shards // _PARTITIONS * _PARTITIONS))
    print(f"{size}, idle, with a pin:  {idle}", flush=True)
    print(f"{size}, epoch of a pin:    {measured(folder, partial(first_sample, pin='bench'))}")


if __name__ == "__main__":
    main()
