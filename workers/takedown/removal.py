"""The steps of a takedown. Each can be taken again, and an interrupted one is gone on with."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from kaption.objectstore import blob_key, open_store
from kaption.objectstore.dataset.takedowns import add_takedown
from kaption.schemas import Manifest, Position, Takedown
from kaption.schemas.topics import CLEAN
from kaption.workers.settings import Settings
from kaption.workers.stores.footprint import Footprint
from kaption.workers.takedown.search import Remains
from kaption.workers.takedown.withdraw import withdraw
from kaption.workers.wiring import build_takedowns, forgetful_stores


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


_CHUNK = 500
"""Footprints for which Redis is asked at once."""
_WRITERS = 16


@dataclass(frozen=True, slots=True)
class Removed:
    """How much there was to remove."""

    pairs: int
    blobs: int
    entries: int
    """In Redis."""
    refused: int
    """Images, by their sha256."""


class Removal:
    """Takedowns carried out, in this order:

    1. `refuse`: the takedown into the dataset, where readers look, then into Redis, where workers
       look. From here on nothing that it covers gets further.
    2. `keep`: what was found is written down. The next step makes a compacted topic forget which
       image was the pair's, and a run that was killed after it could not go on.
    3. `remove`: the images found are refused in the same way, wherever they come from, before the
       claims that kept their copies out are gone. Then tombstones into pairs.clean, then the blobs,
       then what is in Redis.
    4. `finish`: what was written down is removed.

    Raises Retry, Fatal, PublishError; then run it again.
    """

    def __init__(self, settings: Settings) -> None:
        self._kafka = settings.kafka
        self._objects = open_store(settings.store)
        self._prefix = settings.sink.prefix
        self._takedowns = build_takedowns(settings)
        self._stores = forgetful_stores(settings)

    def refuse(self, takedowns: Collection[Takedown]) -> None:
        """For good, and at once for every worker."""
        add = partial(add_takedown, self._objects, self._prefix)
        with ThreadPoolExecutor(_WRITERS) as threads:
            list(threads.map(add, takedowns))
        self._takedowns.add([takedown.takedown_id for takedown in takedowns])

    def keep(self, remains: Remains) -> str:
        """Write down what is to be removed; returns the object's key."""
        key = f"{self._left}{uuid.uuid4().hex}.json"
        self._objects.put(key, remains.model_dump_json().encode(), media_type="application/json")
        return key

    def left(self) -> Iterator[tuple[str, Remains]]:
        """What interrupted runs have written down, by key."""
        for key in self._objects.list(self._left):
            try:
                yield key, Remains.model_validate_json(self._objects.get(key))
            except KeyError:  # another run has finished it meanwhile
                continue

    def count(self, remains: Remains) -> Removed:
        """What `remove` would find."""
        with ThreadPoolExecutor(_WRITERS) as threads:
            blobs = sum(threads.map(self._objects.exists, map(blob_key, remains.blobs)))
        entries = self._forget(remains.footprints, dry_run=True)
        return Removed(len(remains.pairs), blobs, entries, len(remains.images))

    def remove(self, remains: Remains, progress: Callable[[str], object]) -> Removed:
        """All of it; `progress` is told what is being done."""
        found = self.count(remains)
        progress(f"refusing {found.refused} images")
        self.refuse(remains.images)
        progress(f"withdrawing {found.pairs} pairs from {CLEAN.name}")
        withdraw(self._kafka, CLEAN, remains.pairs)
        progress(f"deleting {found.blobs} blobs")
        with ThreadPoolExecutor(_WRITERS) as threads:
            list(threads.map(self._objects.delete, map(blob_key, remains.blobs)))
        progress(f"removing {found.entries} entries from Redis")
        self._forget(remains.footprints, dry_run=False)
        return found

    def finish(self, key: str) -> None:
        """Nothing of it is left."""
        self._objects.delete(key)

    @property
    def _left(self) -> str:
        # Not below takedown/, where readers expect takedowns and nothing else.
        return f"{self._prefix}/takedown-left/"

    def _forget(self, footprints: Sequence[Footprint], *, dry_run: bool) -> int:
        return sum(
            store.forget(footprints[start : start + _CHUNK], dry_run=dry_run)
            for start in range(0, len(footprints), _CHUNK)
            for store in self._stores
        )
