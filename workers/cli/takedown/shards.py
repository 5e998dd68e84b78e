"""Which messages of pairs.clean are in a shard."""

from __future__ import annotations

from collections.abc import Collection

from objectstore import open_store
from schemas import Manifest, Position
from workers.settings import Settings


def samples_in_shards(settings: Settings, positions: Collection[Position]) -> int:
    """How many lie before the end of their partition's shards."""
    objects, folder = open_store(settings.store), f"{settings.sink.prefix}/manifest/"
    # Keys list in offset order: of each partition the last one stays.
    last = {key.rpartition("/")[0]: key for key in objects.list(folder)}
    ends = {
        manifest.partition: manifest.end
        for manifest in map(Manifest.model_validate_json, map(objects.get, last.values()))
    }
    return sum(each.offset < ends.get(each.partition, 0) for each in positions)
