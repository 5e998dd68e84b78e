"""The shards of a dataset as a stream sees them, and which reader each belongs to."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from kaption.consumers.share import Share
from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.checkpoint import PartitionCheckpoint, ShardEntry
from kaption.objectstore.dataset.index import DatasetIndex, PartitionShards, read_manifest
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.dataset.manifests import live
from kaption.objectstore.dataset.pins import find_pin
from kaption.objectstore.open import patiently
from kaption.schemas import Manifest
from kaption.schemas.record import differ

_TRIES = 10


class ShardError(Exception):
    """The dataset cannot be read. The message says what is wrong and what to do."""


class Shard(NamedTuple):
    """Offsets [start, end) of one partition of pairs.clean that are read from one manifest."""

    partition: int
    start: int
    end: int


class ShardIndex:
    """The chain of shards of each partition, as of the last look at the store.

    In each partition the first manifest starts at offset 0, every other one where the one before
    ends. Compaction puts one manifest in the place of several. Until the replaced ones are removed,
    the chain of the earlier generation can still be read. With `pin` the chains are those of the
    pin of this name. Shards whose data was removed for a takedown keep their place in them, and are
    read from the shards that count now.
    """

    def __init__(self, objects: ObjectStore, prefix: str, pin: str | None = None) -> None:
        self._objects = objects
        self._layout = Layout(prefix)
        self._pin = pin
        self._newest: dict[int, list[ShardEntry]] = {}
        self._empty: set[ShardEntry] = set()
        self._folder = self._layout.manifests()
        self._dataset = DatasetIndex(objects, prefix)
        self._stored: dict[int, PartitionShards] = {}
        self._chains: dict[int, list[ShardEntry]] = {}
        self._generations: dict[int, int] = {}
        self._bare: set[int] = set()

    def refresh(self, generations: Mapping[int, int] | None = None) -> None:
        """Look at the store again.

        A partition in `generations` is taken as it was at that generation if its chain of then is
        still whole, else as it is now. A pin comes before `generations`. Raises ShardError where a
        chain has a gap, Fatal where there is no such pin, ValueError (pydantic) for a manifest that
        cannot be parsed.
        """
        for tries_left in reversed(range(_TRIES)):
            found = patiently(self._dataset.read)
            try:
                chains = {number: _chain(live(each.entries)) for number, each in found.items()}
            except ShardError:
                # A listing may miss shards that were written meanwhile and contain later ones.
                if not tries_left:
                    raise
            else:
                break
        self._stored, self._newest = found, chains
        if self._pin is not None:
            self._chains, self._generations = self._pinned(self._pin)
            return
        newest = {
            number: max(entry.generation for entry in each.entries)
            for number, each in found.items()
        }
        for partition, wanted in (generations or {}).items():
            if wanted >= newest.get(partition, 0):
                continue
            earlier = _as_of(found[partition].entries, wanted)
            if earlier and earlier[-1].end == chains[partition][-1].end:
                chains[partition], newest[partition] = earlier, wanted
        self._chains, self._generations = chains, newest

    def _pinned(self, name: str) -> tuple[dict[int, list[ShardEntry]], dict[int, int]]:
        """Return the chains and generations of a pin."""
        pin = find_pin(self._objects, self._layout.prefix, name)
        if not pin.partitions:
            raise ShardError(f"the pin {name} is not finished: see `kaption pins`")
        chains = {}
        for partition, at in pin.partitions.items():
            stored = self._stored.get(partition, PartitionShards())
            if differ(stored.topic_id, at.topic_id):
                raise ShardError(
                    f"partition {partition} below {self._folder} holds another topic than when "
                    f"{name} was pinned (id {stored.topic_id}, not {at.topic_id}): pin again"
                )
            chains[partition] = _chain(pin.shards(partition, stored.entries))
            if not chains[partition] or chains[partition][-1].end != at.end:
                raise ShardError(
                    f"partition {partition} below {self._folder} no longer reaches offset {at.end},"
                    f" which {name} has pinned: restore its manifests"
                )
            empty = set(stored.checkpoint.emptied)
            self._empty |= {it for it in chains[partition] if self._layout.key_of(it) in empty}
        return chains, {partition: at.generation for partition, at in pin.partitions.items()}

    def generations(self) -> dict[int, int]:
        """Return the generation of each partition's chain."""
        return dict(self._generations)

    def check_topics(self, known: dict[int, str]) -> None:
        """Raise ShardError where a chain is of another topic than `known` says; add what is new."""
        for partition, stored in self._stored.items():
            found = stored.topic_id
            if found is not None and found != known.setdefault(partition, found):
                raise ShardError(
                    f"partition {partition} below {self._folder} holds another topic than before "
                    f"(id {found}, not {known[partition]}): begin anew, without a saved state"
                )

    def ends(self) -> dict[int, int]:
        """Return the offset at which each partition's chain ends."""
        return {partition: chain[-1].end for partition, chain in self._chains.items()}

    def shards(self, since: Mapping[int, int], share: Share, *, whole: bool) -> list[Shard]:
        """Return the shards of a reader from the offsets `since` on, by partition.

        A shard goes to the reader that has the fewest offsets of the partition before it. This is
        the same for every reader at any time: chains grow only at their ends, and a merged shard is
        given as its parts, which its manifest lists.

        With `whole` the parts of merged shards are dealt over all partitions instead: each reader
        gets a run of them, one more or less than others get, and those of one shard as one. Then
        all readers have to look at the same generation. Shards that are not merged are dealt within
        their partition also then, because some readers may not see the newest ones yet.
        """
        found, dealt = list[Shard](), 0
        mine = self._run_of(share)
        for partition, chain in self._chains.items():
            begun, dealer = since.get(partition, 0), _Dealer(partition, share.total)
            for each in chain:
                parts = _parts(each)
                given = [part for part in parts if dealer.owner(part) == share.number]
                if whole and each.generation:
                    run = parts[max(mine.start - dealt, 0) : max(mine.stop - dealt, 0)]
                    own = [Shard(partition, run[0].start, run[-1].end)] if run else []
                    dealt += len(parts)
                else:
                    own = given
                found += [
                    Shard(partition, max(part.start, begun), part.end)
                    for part in own
                    if part.end > begun
                ]
        return found

    def _run_of(self, share: Share) -> range:
        """Return the numbers of the parts of merged shards that belong to the reader."""
        merged = (each for chain in self._chains.values() for each in chain if each.generation)
        least, more = divmod(sum(len(_parts(each)) for each in merged), share.total)
        start = share.number * least + min(share.number, more)
        return range(start, start + least + (share.number < more))

    def checkpoint(self, partition: int) -> PartitionCheckpoint:
        """Return the partition's checkpoint. The default knows nothing."""
        if partition in self._bare or partition not in self._stored:
            return PartitionCheckpoint()
        return self._stored[partition].checkpoint

    def lost(self, partition: int, checkpoint: PartitionCheckpoint) -> None:
        """Look again, because an object that the checkpoint names cannot be read.

        If there is no newer checkpoint, do without.
        """
        self.refresh()
        if self.checkpoint(partition).number == checkpoint.number:
            self._bare.add(partition)

    def new(self, partition: int, until: int) -> list[ShardEntry]:
        """Return the shards below `until` whose rows the checkpoint does not know."""
        known = PartitionShards(self.checkpoint(partition))
        new = [each for each in known.new(self._chains[partition]) if each.start < until]
        return list(dict.fromkeys(self.at(partition, each.start) for each in new))

    def at(self, partition: int, offset: int) -> ShardEntry:
        """Return the shard that accounts for the offset. Raises ShardError where none does."""
        for chain in self._chains.get(partition, []), self._newest.get(partition, []):
            place = bisect_right(chain, offset, key=lambda each: each.start) - 1
            if place >= 0 and offset < chain[place].end and chain[place] not in self._empty:
                return chain[place]
        raise ShardError(
            f"no manifest below {self._folder} accounts for offset {offset} of partition "
            f"{partition} any more: restore it, or begin a new epoch"
        )

    def manifest(self, partition: int, offset: int) -> Manifest:
        """Return the manifest that accounts for the offset. Raises ShardError where none does."""
        for _ in range(_TRIES):
            entry = self.at(partition, offset)
            manifest = self.manifest_of(entry)
            if manifest is not None:
                return manifest
        raise ShardError(f"{self._layout.key_of(entry)} is gone: restore it, or begin a new epoch")

    def manifest_of(self, entry: ShardEntry) -> Manifest | None:
        """Return the manifest of a shard, or look at the store again and return None."""
        try:
            return patiently(partial(read_manifest, self._objects, self._layout, entry))
        except KeyError:
            self.refresh()
            if entry in self._stored[entry.partition].entries:  # by a checkpoint that is wrong
                self._dataset.distrust(entry.partition)
                self.refresh()
            return None

    def moved(self, entry: ShardEntry) -> bool:
        """Look at the store again; return whether another shard is to be read in this one's place.

        Call it for a shard whose data is missing.
        """
        self.refresh()
        if self._pin is not None and entry not in self._newest.get(entry.partition, []):
            self._empty.add(entry)
        return self.at(entry.partition, entry.start) != entry


class _Dealer:
    """Deals the shards of one partition, in their order."""

    def __init__(self, partition: int, readers: int) -> None:
        # Partitions with few shards begin at readers that lie far apart (van der Corput sequence).
        order = sorted(range(readers), key=lambda each: int(f"{each:064b}"[::-1], 2))
        first = order[partition % readers]
        turns = range(readers)
        self._loads = [(0, turn, (first + turn) % readers) for turn in turns]  # a heap

    def owner(self, shard: Shard) -> int:
        """Return the reader of the next shard."""
        load, turn, reader = self._loads[0]
        heapq.heapreplace(self._loads, (load + shard.end - shard.start, turn, reader))
        return reader


def _as_of(entries: Iterable[ShardEntry], generation: int) -> list[ShardEntry]:
    """Return a partition's chain as it was at the generation, or nothing where it has gaps."""
    try:
        return _chain(live(each for each in entries if each.generation <= generation))
    except ShardError:
        return []


def _parts(entry: ShardEntry) -> list[Shard]:
    """Return the shards of the sink that the entry accounts for."""
    bounds = [*(entry.parts or (entry.start,)), entry.end]
    return [Shard(entry.partition, start, end) for start, end in pairwise(bounds)]


def _chain(ordered: Iterable[ShardEntry]) -> list[ShardEntry]:
    chain, end = list[ShardEntry](), 0
    for each in ordered:
        if each.start > end:
            raise ShardError(
                f"partition {each.partition}: no manifest accounts for offsets {end} to "
                f"{each.start}: restore the one that begins at {end}"
            )
        if each.start == end:
            chain.append(each)
            end = each.end
    return chain
