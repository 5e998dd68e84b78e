"""What a takedown costs compaction, by the number of shards: `python -m bench.takedowns`.

Makes datasets of 20, 200 and 2,000 shards of 50 samples in a folder, in 4 partitions, with real
tables; `--shards` and `--samples` give other sizes. Checkpoints are written after every 32 shards
of a partition, as the sink does it, and a compaction has found nothing to do. Then one pair, the
site of one shard and a list of ten pairs are taken down, and each time `Compactor.run` leaves them
out, after a dry run. At the end orphans are looked for. Counted are calls (a listing counts one for
each thousand keys, as S3 has it) and bytes read, by folder.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from bench.datasets import CountedStore
from kaption.objectstore.dataset.checkpointer import EVERY, Checkpointer
from kaption.objectstore.dataset.layout import Layout, shard_stem
from kaption.objectstore.dataset.manifests import encoded
from kaption.objectstore.dataset.shard import ShardSample, build_shard
from kaption.objectstore.dataset.takedowns import add_takedown
from kaption.objectstore.folder import FolderStore
from kaption.schemas import BlobRef, CleanPair, Manifest, Position, Takedown, TakedownKind
from kaption.testing.records import caption, clean_pair, image_ref
from kaption.workers.compaction import Compactor, Limits, find_orphans

_LAYOUT = Layout("dataset")
_PARTITIONS = 4
_SAMPLES = 50
_NOW = datetime(2026, 11, 22, tzinfo=UTC)
_NONE_SMALL = Limits(1, 1 << 30, 1 << 30)


class SortedStore(CountedStore):
    """A folder that counts bytes by folder of the dataset, too."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.cpu_s = 0.0
        """Processor time of the writer of checkpoints."""
        self.read = Counter[str]()
        self.written = Counter[str]()

    def get(self, key: str) -> bytes:
        """Note its size."""
        data = super().get(key)
        self.read[key.split("/")[1]] += len(data)
        return data

    def get_part(self, key: str, start: int, size: int) -> bytes:
        """Note its size."""
        data = super().get_part(key, start, size)
        self.read[key.split("/")[1]] += len(data)
        return data

    def put(
        self, key: str, data: bytes | Path, *, media_type: str = "application/octet-stream"
    ) -> None:
        """Note its size."""
        self.written[key.split("/")[1]] += len(data) if isinstance(data, bytes) else 0
        super().put(key, data, media_type=media_type)


def pair(partition: int, offset: int) -> CleanPair:
    """A pair with its own image and page. Of a site there are 20 images, one after the other."""
    name = hashlib.sha256(f"{partition}-{offset}".encode()).hexdigest()
    site = f"site-{partition}-{offset // 20}.example"
    blob = BlobRef(sha256=name, bytes=300, media_type="image/jpeg")
    image = image_ref(
        blob,
        original_sha256=hashlib.sha256(name.encode()).hexdigest(),
        url=f"https://images.{site}/uploads/2026/{name[:12]}.jpg",
    )
    words = " ".join(name[at : at + 4] for at in range(0, 48, 4))
    texts = [caption(f"{kind} {words}", model="m", score=0.3) for kind in ("short", "long")]
    fields = {"image": image, "pair_id": f"{partition}-{offset}", "text": words}
    return clean_pair(offset, *texts, page_url=f"https://www.{site}/posts/{name[12:20]}", **fields)


def make(root: Path, shards: int, size: int) -> SortedStore:
    """Write the dataset with its checkpoints. Returns the store of their writer."""
    store, work = SortedStore(root), root.with_name("work")
    work.mkdir()
    image = work / "image"
    image.write_bytes(b"\xff\xd8" + b"0" * 298)
    for partition in range(_PARTITIONS):
        writer = Checkpointer(store, "dataset")
        for number in range(shards // _PARTITIONS):
            start, end = number * size, (number + 1) * size
            samples = [
                ShardSample(Position("pairs.clean", partition, at), pair(partition, at), image)
                for at in range(start, end)
            ]
            files = build_shard(work, shard_stem(partition, start, end, "w"), samples)
            for file in files:
                store.put(_LAYOUT.object(file.entry.key), file.path.read_bytes())
            manifest = Manifest(
                topic="pairs.clean",
                partition=partition,
                start=start,
                end=end,
                pairs=len(samples),
                writer="w",
                created_at=_NOW,
                objects=tuple(file.entry for file in files),
            )
            store.put(_LAYOUT.key_of(manifest), encoded(manifest))
            if (number + 1) % EVERY == 0:
                began = time.process_time()
                writer.write(partition)
                store.cpu_s += time.process_time() - began
    return store


def compacted(root: Path, what: str, takedowns: dict[str, TakedownKind]) -> None:
    """Take down what is named, compact, first dry, and print what that read."""
    for value, kind in takedowns.items():
        takedown = Takedown(kind=kind, value=value, requested_at=_NOW)
        add_takedown(FolderStore(root), "dataset", takedown)
    for dry in (True, False):
        store = SortedStore(root)
        done = Compactor(store, "dataset", _NONE_SMALL, writer="bench").run(dry=dry)
        change = f"{done.before} shards written anew without {done.dropped['taken down']} samples"
        print(f"  {what:20} {'dry' if dry else '   '} {told(store)}; {change}", flush=True)


def told(store: SortedStore) -> str:
    """What the store was asked for."""
    parts = ", ".join(f"{size / 1e6:.3f} {name}" for name, size in store.read.most_common(4))
    return f"{store.calls:5d} calls {store.size / 1e6:7.3f} MB read ({parts})"


def main() -> None:
    """Print what each kind of takedown costs at each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, nargs="+", default=[20, 200, 2_000])
    parser.add_argument("--samples", type=int, default=_SAMPLES, help="samples of a shard")
    given = parser.parse_args()
    for shards in given.shards:
        with tempfile.TemporaryDirectory(prefix="kaption-bench-") as folder:
            root, pairs = Path(folder) / "store", shards * given.samples
            store = make(root, shards, given.samples)
            Compactor(store, "dataset", _NONE_SMALL, writer="bench").run()
            tables = sum(each.stat().st_size for each in root.glob("dataset/data/*/*.parquet"))
            rules = sum(each.stat().st_size for each in root.glob("dataset/rules/*/*.bin"))
            written = store.written["rules"]
            print(
                f"{shards:,} shards of {given.samples} samples. Bytes a pair: {tables / pairs:.0f} "
                f"of tables, {rules / pairs:.1f} of rules, also those of the checkpoint before, and"
                f" {written / pairs:.1f} of them written in all;"
                f" {store.cpu_s / pairs * 1e6:.1f} us of processor time for checkpoints"
            )
            compacted(root, "one pair", {"1-7": TakedownKind.PAIR})
            compacted(root, "a site", {"site-2-0.example": TakedownKind.DOMAIN})
            step = pairs // _PARTITIONS // 10
            ten = {f"{at % 4}-{at * step + 3}": TakedownKind.PAIR for at in range(10)}
            compacted(root, "a list of ten pairs", ten)
            compacted(root, "nothing", {"elsewhere.example": TakedownKind.DOMAIN})
            compacted(root, "idle", {})
            store = SortedStore(root)
            assert find_orphans(store, "dataset", datetime.now(UTC)) == []
            print(f"  {'orphans':24} {told(store)}", flush=True)


if __name__ == "__main__":
    main()
