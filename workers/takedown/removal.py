"""The steps of a takedown. Each step can be repeated, so any later run finishes a killed one."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from kaption.objectstore import blob_key, open_store
from kaption.objectstore.dataset.index import last_manifests
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.dataset.takedowns import add_takedown
from kaption.schemas import Position, Takedown
from kaption.schemas.record import differ
from kaption.schemas.topics import AUDITED, CLEAN
from kaption.workers.settings import Settings
from kaption.workers.stores.footprint import Footprint
from kaption.workers.takedown.search import Remains
from kaption.workers.takedown.withdraw import withdraw
from kaption.workers.wiring import build_takedowns, forgetful_stores

_CHUNK = 500
"""Footprints that one request to Redis asks for."""
_WRITERS = 16
"""Threads that write to the object store."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What a takedown removed, or would remove."""

    pairs: int
    """Pairs withdrawn from pairs.clean."""
    blobs: int
    """Stored images deleted."""
    entries: int
    """Entries deleted from Redis."""
    refused: int
    """Images refused from now on, by their sha256."""


class Removal:
    """Carries out takedowns, in this order:

    1. `refuse` stores the takedown in the dataset, for readers, then in Redis, for workers. From
       then on no stage and no reader passes on what it covers.
    2. `keep` writes down what the search found. Without it, a run that was killed in step 3 could
       not be finished: the tombstones make the compacted topic forget which image a pair had.
    3. `remove` first refuses the images found, wherever they come from. It does so before it
       deletes their deduplication claims, which kept copies out until now. Then it sends tombstones
       to pairs.clean and pairs.audited, deletes the blobs, and deletes the entries in Redis.
    4. `finish` deletes what step 2 wrote.

    Every method may raise Retry, Fatal or PublishError. After that, run the command again.
    """

    def __init__(self, settings: Settings) -> None:
        self._kafka = settings.kafka
        self._objects = open_store(settings.store)
        self._layout = Layout(settings.sink.prefix)
        self._takedowns = build_takedowns(settings)
        self._stores = forgetful_stores(settings)

    def refuse(self, takedowns: Collection[Takedown]) -> None:
        """Refuse what they cover, for good and in every worker at once."""
        add = partial(add_takedown, self._objects, self._layout.prefix)
        with ThreadPoolExecutor(_WRITERS) as threads:
            list(threads.map(add, takedowns))
        self._takedowns.add([takedown.takedown_id for takedown in takedowns])

    def keep(self, remains: Remains) -> str:
        """Write down what is to be removed. Returns the key of the object."""
        key = self._layout.takedown_left(uuid.uuid4().hex)
        self._objects.put(key, remains.model_dump_json().encode(), media_type="application/json")
        return key

    def left(self) -> Iterator[tuple[str, Remains]]:
        """Give what interrupted runs have written down, with its key."""
        for key in self._objects.list(self._layout.takedowns_left()):
            try:
                yield key, Remains.model_validate_json(self._objects.get(key))
            except KeyError:  # another run finished it meanwhile
                continue

    def count(self, remains: Remains) -> Removed:
        """Count what `remove` would remove."""
        with ThreadPoolExecutor(_WRITERS) as threads:
            blobs = sum(threads.map(self._objects.exists, map(blob_key, remains.blobs)))
        entries = self._forget(remains.footprints, dry_run=True)
        return Removed(len(remains.pairs), blobs, entries, len(remains.images))

    def remove(self, remains: Remains, progress: Callable[[str], object]) -> Removed:
        """Remove it all. `progress` is called with a description of each step."""
        found = self.count(remains)
        progress(f"refusing {found.refused} images")
        self.refuse(remains.images)
        progress(f"withdrawing {found.pairs} pairs from {CLEAN.name}")
        withdraw(self._kafka, CLEAN, remains.pairs)
        withdraw(self._kafka, AUDITED, remains.decisions)
        progress(f"deleting {found.blobs} blobs")
        with ThreadPoolExecutor(_WRITERS) as threads:
            list(threads.map(self._objects.delete, map(blob_key, remains.blobs)))
        progress(f"removing {found.entries} entries from Redis")
        self._forget(remains.footprints, dry_run=False)
        return found

    def finish(self, key: str) -> None:
        """Delete what `keep` wrote: nothing of it is left to remove."""
        self._objects.delete(key)

    def _forget(self, footprints: Sequence[Footprint], *, dry_run: bool) -> int:
        return sum(
            store.forget(footprints[start : start + _CHUNK], dry_run=dry_run)
            for start in range(0, len(footprints), _CHUNK)
            for store in self._stores
        )


def samples_in_shards(settings: Settings, positions: Collection[Position]) -> int:
    """Count the messages of pairs.clean that lie before the end of their partition's shards."""
    last = last_manifests(open_store(settings.store), settings.sink.prefix)
    return sum(
        each.offset < last[each.partition].end
        and not differ(last[each.partition].topic_id, each.topic_id)
        for each in positions
        if each.partition in last
    )
