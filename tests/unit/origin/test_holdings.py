"""The counters of a data set equal what all of its tables hold."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset import counting
from kaption.objectstore.dataset.manifests import encoded, read_manifests
from kaption.objectstore.dataset.takedowns import add_takedown
from kaption.objectstore.folder import FolderStore
from kaption.schemas import CleanPair, OptOutSignal, Takedown, TakedownKind
from kaption.workers.origin.holdings import Dataset, Holdings
from kaption.workers.runtime.stage import Incoming
from support.compacting import ALL, compact, retire_all
from support.origin import counted
from support.sink_records import now, open_sink, run, stored

pytestmark = pytest.mark.slow

HOSTS = ("a.example", "b.example", "bücher.example", "c.d.example")


def pair(blobs: BlobStore, offset: int, partition: int, **changed: object) -> Incoming[CleanPair]:
    fields: dict[str, Any] = {
        "pair_id": f"pair-{partition}-{offset}",
        "page_url": f"https://{HOSTS[offset % 4]}:8443/page/{offset}" if offset % 5 else None,
        "source": (None, "crawl one", "crawl two")[offset % 3],
        "fetched_at": datetime(2026, 1 + offset % 12, 1, tzinfo=UTC) if offset % 4 else None,
        "licence": (None, "CC-BY-4.0", "a | b\nc")[offset % 3],
        "detected_language": ("en", "de", None)[offset % 3],
        "language": ("fr", None)[offset % 2],
        "opt_out": (OptOutSignal(kind="robots_meta"),) * (offset % 3),
    }
    return stored(blobs, offset, partition, **(fields | changed))


def write(objects: FolderStore, folder: Path, *shards: list[Incoming[CleanPair]]) -> None:
    sink = open_sink(objects, folder, f"w{len(list(objects.list('dataset/manifest/')))}")
    for shard in shards:
        at = shard[0].position
        sink.resume(at.topic, at.partition, 0)
        run(sink, shard)


def filled(objects: FolderStore, blobs: BlobStore, folder: Path) -> None:
    """Two partitions of four shards each, with two versions of one pair."""
    for partition in (0, 1):
        shards = [
            [pair(blobs, offset, partition) for offset in range(start, start + 6)]
            for start in (0, 6, 12)
        ]
        again = [pair(blobs, 18, partition, pair_id=f"pair-{partition}-2", version=2)]
        write(objects, folder, *shards, again)


def take_down(objects: FolderStore, pair_id: str) -> frozenset[str]:
    takedown = Takedown(kind=TakedownKind.PAIR, value=pair_id, requested_at=now())
    add_takedown(objects, "dataset", takedown)
    return frozenset({pair_id})


def told(holdings: Holdings) -> dict[str, Any]:
    assert not holdings.damaged
    kept = holdings.counts.model_dump(exclude={"pairs", "captions"})
    assert sum(number for number, _ in kept["media_types"].values()) == holdings.counts.pairs
    return kept


def brute(objects: FolderStore, taken_down: frozenset[str] = frozenset()) -> dict[str, Any]:
    found = counted(objects, taken_down)
    found["domains"] = {
        name.encode("idna").decode(): sums for name, sums in found["domains"].items()
    }
    return found


def test_versions_are_counted_once_and_takedowns_not_at_all(objects, blobs, tmp_path):
    # Given two versions of a pair, and a takedown
    filled(objects, blobs, tmp_path)
    gone = take_down(objects, "pair-0-7")

    # When the tables may be read
    holdings = Dataset(objects, "dataset").holdings(None)

    # Then the counters say what readers get
    assert told(holdings) == brute(objects, gone)
    assert (holdings.counts.pairs, holdings.takedowns, holdings.inexact) == (35, 1, 0)


@pytest.mark.parametrize("limits", [ALL, None], ids=["merged", "too large to merge"])
def test_after_a_compaction_no_table_is_read(objects, blobs, tmp_path, monkeypatch, limits):
    # Given
    filled(objects, blobs, tmp_path)
    gone = take_down(objects, "pair-1-3")
    compact(objects, *([limits] if limits else [type(ALL)(below=1, to=1, records=1)]))
    retire_all(objects)
    expected = brute(objects, gone)

    # When
    read: list[str] = []
    get = objects.get

    def noted(key: str) -> Any:
        read.append(key)
        return get(key)

    monkeypatch.setattr(objects, "get", noted)
    holdings = Dataset(objects, "dataset").holdings(0)

    # Then one small object of each partition is enough
    assert (told(holdings), holdings.inexact) == (expected, 0)
    assert read == ["dataset/counts/00000.json", "dataset/counts/00001.json"]


def test_what_comes_after_a_compaction_is_added(objects, blobs, tmp_path):
    # Given a compaction, then new pairs, a version of an old one and a takedown of an old one
    filled(objects, blobs, tmp_path)
    compact(objects)
    later = [pair(blobs, 20, 0), pair(blobs, 21, 0, pair_id="pair-0-4", version=2)]
    write(objects, tmp_path, later)
    gone = take_down(objects, "pair-0-0")

    # When
    quick = Dataset(objects, "dataset").holdings(0)
    exact = Dataset(objects, "dataset").holdings(None, store=True)
    again = Dataset(objects, "dataset").holdings(0)

    # Then without the tables the count says that it is not exact; what was counted is kept
    assert (quick.inexact, quick.counts.pairs) == (2, exact.counts.pairs + 2)
    assert told(exact) == told(again) == brute(objects, gone)
    assert (exact.inexact, again.inexact) == (0, 0)


def test_shards_of_older_versions_are_counted_from_their_tables(objects, blobs, tmp_path):
    # Given a data set whose manifests name no counters
    filled(objects, blobs, tmp_path)
    for manifest in read_manifests(objects, "dataset"):
        old = manifest.model_copy(update={"objects": manifest.objects[:2]})
        objects.put(
            f"dataset/manifest/{manifest.partition:05d}/{manifest.start:020d}.json", encoded(old)
        )

    # Then
    assert told(Dataset(objects, "dataset").holdings(None)) == brute(objects)


def test_counters_of_a_compaction_that_was_killed_are_not_believed(objects, blobs, tmp_path):
    # Given counters of one compaction, and a later one that did not come to writing its own
    filled(objects, blobs, tmp_path)
    compact(objects)
    stale = objects.get("dataset/counts/00000.json")
    write(objects, tmp_path, [pair(blobs, 30, 0, pair_id="pair-0-5", version=3)])
    gone = take_down(objects, "pair-0-1")
    compact(objects)
    objects.put("dataset/counts/00000.json", stale)

    # Then
    assert told(Dataset(objects, "dataset").holdings(0)) == brute(objects, gone)


def test_damaged_shards_are_named_and_left_out(objects, blobs, tmp_path):
    # Given counters that are damaged in one shard, and a shard whose table is gone, too
    filled(objects, blobs, tmp_path)
    first, second, *_ = read_manifests(objects, "dataset")
    objects.put(f"dataset/{first.objects[2].key}", b"{")
    for entry in second.objects[1:]:
        objects.delete(f"dataset/{entry.key}")

    # When
    holdings = Dataset(objects, "dataset").holdings(None)

    # Then the first one's table is counted
    assert len(holdings.damaged) == 1
    assert second.objects[1].key in holdings.damaged[0]
    assert holdings.counts.pairs == 36 - 6


def test_counters_that_were_added_up_are_bounded(objects, blobs, tmp_path, monkeypatch):
    # Given more domains than counters may have
    monkeypatch.setattr(counting, "DOMAINS", 2)
    filled(objects, blobs, tmp_path)

    # When
    found = Dataset(objects, "dataset").holdings(None).counts.domains

    # Then the largest stay, and nothing is lost
    expected = brute(objects)["domains"]
    assert len(found) <= 3
    assert sum(size for _, size in found.values()) == sum(size for _, size in expected.values())
    assert sum(pairs for pairs, _ in found.values()) == 36
