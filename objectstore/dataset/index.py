"""The shards of a dataset, as its checkpoints and the manifests after them say."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from kaption.objectstore.dataset.checkpoint import (
    PartitionCheckpoint,
    ShardEntry,
    decoded_checkpoint,
)
from kaption.objectstore.dataset.layout import Layout, number_of, partition_of
from kaption.objectstore.dataset.manifests import live
from kaption.objectstore.store import ObjectStore
from kaption.schemas import Manifest

_READERS = 16
_TRIES = 10
_log = logging.getLogger(__name__)
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class PartitionShards:
    """What is stored of one partition."""

    checkpoint: PartitionCheckpoint = field(default_factory=PartitionCheckpoint)
    entries: tuple[ShardEntry, ...] = ()
    """All manifests, also those that do not count: `live` tells which do."""
    topic_id: str | None = None
    """The id of the topic that the offsets are of, where the newest manifests name it."""

    def new(self, chain: Iterable[ShardEntry]) -> list[ShardEntry]:
        """Return the shards of a chain with rows that the checkpoint does not know."""
        unread = self.checkpoint.unread
        return [
            each
            for each in chain
            if each.end > self.checkpoint.end
            or any(start < each.end and each.start < end for start, end in unread)
        ]


class DatasetIndex:
    """The manifests of the dataset at `prefix`, or of one partition of it.

    A look takes one listing and one object for each partition that has a checkpoint, two listings
    for each partition, and the manifests that are newer than the checkpoint; each is read once.
    """

    def __init__(self, objects: ObjectStore, prefix: str, partition: int | None = None) -> None:
        self._objects = objects
        self._layout = Layout(prefix)
        self._partition = partition
        self._checkpoints: dict[str, tuple[PartitionCheckpoint, list[ShardEntry]]] = {}
        self._manifests: dict[str, tuple[ShardEntry, str | None]] = {}
        self._distrusted: set[int] = set()

    def distrust(self, partition: int) -> None:
        """Take the partition's manifests from a listing of all from now on.

        A compactor of an older version removes manifests that a checkpoint names.
        """
        self._distrusted.add(partition)

    def read(self) -> dict[int, PartitionShards]:
        """Look at the store. Raises ValueError (pydantic) for a manifest that cannot be parsed."""
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._read()
            except KeyError:  # deleted after the listing, because it was merged or superseded
                if not tries_left:
                    raise
        raise AssertionError

    def _read(self) -> dict[int, PartitionShards]:
        keys = self._objects.list(self._layout.checkpoints(self._partition))
        newest = {partition_of(key): key for key in keys}  # keys list in the order of their numbers
        _keep(self._checkpoints, newest.values(), self._checkpoint)
        known = {partition: self._checkpoints[key] for partition, key in newest.items()}
        if self._partition is not None:
            partitions = [self._partition]
        else:
            partitions = _partitions(self._objects, self._layout)
        heads = [(number, self._trusted(number, known)) for number in partitions]
        tails = dict(zip(partitions, _at_once(self._newer, heads), strict=True))
        all_keys = [key for tail in tails.values() for key in tail]
        _keep(self._manifests, all_keys, self._manifest)
        found = {}
        for number, (head, entries) in heads:
            newer = [self._manifests[key] for key in tails[number]]
            if entries or newer:
                ids = [head.topic_id, *(it for entry, it in newer if not entry.generation)]
                topic_id = next((each for each in reversed(ids) if each is not None), None)
                every = (*entries, *(entry for entry, _ in newer))
                found[number] = PartitionShards(head, every, topic_id)
        return found

    def _trusted(
        self, partition: int, known: dict[int, tuple[PartitionCheckpoint, list[ShardEntry]]]
    ) -> tuple[PartitionCheckpoint, list[ShardEntry]]:
        head, entries = known.get(partition, (PartitionCheckpoint(), []))
        if partition in self._distrusted:
            return head.model_copy(update={"last": None, "generation": 0}), []
        return head, entries

    def _newer(self, at: tuple[int, tuple[PartitionCheckpoint, list[ShardEntry]]]) -> list[str]:
        """Return the keys of the partition's manifests after those of its checkpoint."""
        partition, (head, _) = at
        layout, after, above = self._layout, "", ""
        if head.last is not None:
            after = layout.manifest(partition, head.last)
        if head.generation:
            above = layout.merged(partition, head.generation)
        # The sink's manifests are listed first. Compaction writes the merged manifest before it
        # deletes those that it replaces, so for one that is deleted between the two listings, the
        # second listing has the merged one. For the same reason the checkpoint is read before both.
        sinks = list(self._objects.list(layout.manifests(partition), after))
        return [*sinks, *self._objects.list(layout.merged_manifests(partition), above)]

    def _checkpoint(self, key: str) -> tuple[PartitionCheckpoint, list[ShardEntry]]:
        data = self._objects.get(key)
        try:
            return decoded_checkpoint(data, partition_of(key))
        except ValueError as error:
            _log.warning("%s is left out, all manifests are read instead: %s", key, error)
            return PartitionCheckpoint(number=number_of(key)), []

    def _manifest(self, key: str) -> tuple[ShardEntry, str | None]:
        manifest = Manifest.model_validate_json(self._objects.get(key))
        return ShardEntry.of(manifest), manifest.topic_id


def starts_from(
    objects: ObjectStore, layout: Layout, partition: int, first: int | None = None
) -> list[int]:
    """The starts of the sink's stored manifests, ascending: from `first` on, and the last one.

    The listing begins where the newest checkpoint says, so it does not grow with the partition.
    """
    known, folder = _last_in_checkpoint(objects, layout, partition), layout.manifests(partition)
    begin = known if first is None else min(first, known)
    after = layout.manifest(partition, begin - 1) if begin else ""
    found = list(map(number_of, objects.list(folder, after)))
    # Nothing is found if the checkpoint's last manifest is gone, as after a restored backup.
    return found if found or not begin else list(map(number_of, objects.list(folder)))


def last_starts(objects: ObjectStore, prefix: str) -> dict[int, int]:
    """The start of the sink's last manifest, by partition. Compaction never removes that one."""
    layout = Layout(prefix)
    partitions = _partitions(objects, layout)
    found = _at_once(partial(starts_from, objects, layout), partitions)
    return {number: starts[-1] for number, starts in zip(partitions, found, strict=True) if starts}


def last_manifests(objects: ObjectStore, prefix: str) -> dict[int, Manifest]:
    """The sink's manifest of the last shard, by partition.

    Raises ValueError (pydantic) for one that cannot be parsed.
    """
    layout, last = Layout(prefix), last_starts(objects, prefix)
    data = _at_once(lambda each: objects.get(layout.manifest(*each)), last.items())
    return dict(zip(last, map(Manifest.model_validate_json, data), strict=True))


def read_manifest(objects: ObjectStore, layout: Layout, entry: ShardEntry) -> Manifest:
    """Return the manifest of an entry. Raises KeyError where it is gone or another one."""
    key = layout.key_of(entry)
    manifest = Manifest.model_validate_json(objects.get(key))
    if ShardEntry.of(manifest) != entry:
        raise KeyError(key)
    return manifest


def read_listed(
    objects: ObjectStore, layout: Layout, entries: Collection[ShardEntry]
) -> list[Manifest]:
    """Return the manifests of entries, in their order. Raises KeyError as `read_manifest` does."""
    return _at_once(partial(read_manifest, objects, layout), entries)


def chain_of(shards: PartitionShards) -> list[ShardEntry]:
    """Return the entries that count, by start."""
    return live(shards.entries)


def last_of_sink(entries: Iterable[ShardEntry]) -> ShardEntry | None:
    """Return the sink's shard with the highest start. Its manifest is never removed."""
    return max((it for it in entries if not it.generation), default=None)


def gap_in(chain: Iterable[ShardEntry]) -> str | None:
    """Say which offsets no shard of a chain accounts for, and what to do; None: there are none."""
    end = 0
    for each in chain:
        if each.start > end:
            between = f"no manifest accounts for offsets {end} to {each.start}"
            return f"{between}: restore the one that begins at {end}"
        end = max(end, each.end)
    return None


def _partitions(objects: ObjectStore, layout: Layout) -> list[int]:
    names = objects.folders(layout.manifests())
    return sorted({int(name) for name in names if name.isdecimal()})


def _last_in_checkpoint(objects: ObjectStore, layout: Layout, partition: int) -> int:
    """The start of the last manifest that the newest checkpoint knows; 0 if it knows none."""
    keys = list(objects.list(layout.checkpoints(partition)))
    try:
        head, _ = decoded_checkpoint(objects.get(keys[-1]), partition)
    except (IndexError, KeyError, ValueError):
        return 0
    return head.last or 0


def _keep(known: dict[str, T], keys: Collection[str], read: Callable[[str], T]) -> None:
    """Read what is new among the keys, and forget the others. What was read stays on an error."""
    for key in known.keys() - set(keys):
        del known[key]

    def add(key: str) -> None:
        known[key] = read(key)

    _at_once(add, [key for key in keys if key not in known])


def _at_once(call: Callable[[U], T], each: Collection[U]) -> list[T]:
    if not each:
        return []
    with ThreadPoolExecutor(min(_READERS, len(each))) as pool:
        return list(pool.map(call, each))
