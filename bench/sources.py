"""Counts what `kaption sources` asks of the store, on data sets of growing size.

Each shard has the counters of 10,000 pairs of 300 sites. The first rows are of a data set that was
never compacted; the others were compacted, and ten shards came since.

    python -m bench.sources --shards 10 100 1000
"""

from __future__ import annotations

import argparse
import hashlib
import random
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.datasets import CountedStore
from kaption.objectstore.dataset.counting import Counting
from kaption.objectstore.dataset.counts import store_counts
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.dataset.manifests import encoded
from kaption.objectstore.dataset.takedowns import takedowns_digest
from kaption.objectstore.folder import FolderStore
from kaption.schemas import Manifest, ShardObject
from kaption.schemas.counts import Counts, PartitionCounts
from kaption.workers.origin.holdings import Dataset

_LAYOUT = Layout("dataset")
_PARTITIONS = 4
_PAIRS = 10_000
_NEW = 10


def counters(source: random.Random) -> Counts:
    """The counters of a shard."""
    sites = source.sample(range(20_000), 300)
    shares = {f"site{number}.example.org": (33, 3_300_000) for number in sites}
    whole = (_PAIRS, _PAIRS * 100_000)
    return Counts(pairs=_PAIRS, domains=shares, media_types={"image/jpeg": whole})


def add_shard(store: FolderStore, partition: int, number: int, source: random.Random) -> Counts:
    """Write a shard's manifest and counters, and neither tar nor table: they are not read."""
    counts = counters(source)
    data, name = counts.model_dump_json().encode(), f"data/{partition:05d}/{number}"
    entries = (("webdataset", "tar", b""), ("parquet", "parquet", b""), ("counts", "json", data))
    store.put(_LAYOUT.object(f"{name}.json"), data)
    manifest = Manifest(
        topic="pairs.clean",
        partition=partition,
        start=number * _PAIRS,
        end=(number + 1) * _PAIRS,
        pairs=_PAIRS,
        writer="bench",
        created_at=datetime.now(UTC),
        objects=tuple(
            ShardObject(
                key=f"{name}.{ending}",
                format=kind,  # type: ignore[arg-type]  # one of three literals
                bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            )
            for kind, ending, content in entries
        ),
    )
    store.put(_LAYOUT.key_of(manifest), encoded(manifest))
    return counts


def fill(store: FolderStore, shards: int, *, compacted: bool) -> None:
    """Write shards, in turns over the partitions; store the sums, as compaction does."""
    source = random.Random(1)
    sums = [Counting() for _ in range(_PARTITIONS)]
    for number in range(shards + _NEW * compacted):
        partition = number % _PARTITIONS
        if number == shards and compacted:
            for place, counting in enumerate(sums):
                counted = PartitionCounts(
                    end=len(range(place, shards, _PARTITIONS)) * _PAIRS,
                    generation=0,
                    takedowns=takedowns_digest(()),
                    table_bytes=0,
                    counts=counting.total(),
                )
                store_counts(store, "dataset", place, counted)
        sums[partition].add(add_shard(store, partition, number // _PARTITIONS, source))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shards", type=int, nargs="+", default=[10, 100, 1000])
    options = parser.parse_args(arguments)
    for compacted in (False, True):
        for shards in options.shards:
            with tempfile.TemporaryDirectory() as folder:
                fill(FolderStore(Path(folder)), shards, compacted=compacted)
                store = CountedStore(Path(folder))
                began = time.process_time()
                holdings = Dataset(store, "dataset").holdings(-1)
                seconds = time.process_time() - began
            expected = (shards + _NEW * compacted) * _PAIRS
            if holdings.counts.pairs != expected:
                raise SystemExit(f"{holdings.counts.pairs} pairs, not {expected}")
            what = f"compacted, {_NEW} new" if compacted else "not compacted"
            print(
                f"sources, {shards:>5} shards, {what:<17}: {store.listings} listings, "
                f"{store.gets} reads, {store.size / 1e6:.1f} MB, {seconds:.1f} s of processor",
                flush=True,
            )


if __name__ == "__main__":
    main()
