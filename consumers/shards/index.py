"""The shards of a dataset as a stream sees them, and which reader each belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby, pairwise
from typing import NamedTuple

from kaption.consumers.share import Share
from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.dataset.manifests import ManifestCache, live
from kaption.objectstore.open import patiently
from kaption.schemas import Manifest

_TRIES = 10


class ShardError(Exception):
    """The dataset cannot be read. The message says what is wrong and what to do."""


class Shard(NamedTuple):
    """Offsets [start, end) of one partition of pairs.clean that are read from one manifest."""

    partition: int
    start: int
    end: int


class ShardIndex:
    """The chain of manifests of each partition, as of the last look at the store.

    In each partition the first manifest starts at offset 0, every other one where the one before
    ends. Compaction puts one manifest in the place of several. Until the replaced ones are removed,
    the chain of the earlier generation can still be read.
    """

    def __init__(self, objects: ObjectStore, prefix: str) -> None:
        self._folder = Layout(prefix).manifests()
        self._cache = ManifestCache(objects, prefix)
        self._chains: dict[int, list[Manifest]] = {}
        self._generations: dict[int, int] = {}

    def refresh(self, generations: Mapping[int, int] | None = None) -> None:
        """Look at the store again.

        A partition in `generations` is taken as it was at that generation if its chain of then is
        still whole, else as it is now. Raises ShardError where a chain has a gap, ValueError
        (pydantic) for a manifest that cannot be parsed.
        """
        for tries_left in reversed(range(_TRIES)):
            found = patiently(self._cache.read).values()
            try:
                chains = _chains(found)
            except ShardError:
                # A listing may miss shards that were written meanwhile and contain later ones.
                if not tries_left:
                    raise
            else:
                break
        newest: dict[int, int] = {}
        for each in found:
            newest[each.partition] = max(each.generation, newest.get(each.partition, 0))
        for partition, wanted in (generations or {}).items():
            if wanted >= newest.get(partition, 0):
                continue
            earlier = _as_of(found, partition, wanted)
            if earlier and earlier[-1].end == chains[partition][-1].end:
                chains[partition], newest[partition] = earlier, wanted
        self._chains, self._generations = chains, newest

    def generations(self) -> dict[int, int]:
        """Return the generation of each partition's chain."""
        return dict(self._generations)

    def ends(self) -> dict[int, int]:
        """Return the offset at which each partition's chain ends."""
        return {partition: chain[-1].end for partition, chain in self._chains.items()}

    def shards(self, since: Mapping[int, int], share: Share, *, whole: bool) -> list[Shard]:
        """Return the shards of a reader from the offsets `since` on, by partition.

        The owner of a shard follows from its place among the sink's shards of its partition. This
        place is the same for every reader at any time: chains grow only at their ends, and a merged
        shard is given as its parts, which its manifest lists. With `whole` a merged shard is given
        as one, so that one reader reads it once instead of several reading it in part. Then all
        readers have to look at the same generation.
        """
        found = []
        for partition, chain in self._chains.items():
            begun, place = since.get(partition, 0), 0
            for number, each in enumerate(chain):
                parts = _parts(each)
                numbered = list(enumerate(parts, place))
                if whole and len(parts) > 1:
                    numbered = [(number, Shard(partition, each.start, each.end))]
                place += len(parts)
                found += [
                    Shard(partition, max(part.start, begun), part.end)
                    for number, part in numbered
                    if part.end > begun and share.owns(partition + number)
                ]
        return found

    def manifests(self, since: Mapping[int, int], until: Mapping[int, int]) -> list[Manifest]:
        """Return the manifests of the offsets from `since` up to `until`, by partition and start.

        A partition missing in `since` counts from 0, one missing in `until` is left out.
        """
        return [
            each
            for chain in self._chains.values()
            for each in chain
            if each.end > since.get(each.partition, 0) and each.start < until.get(each.partition, 0)
        ]

    def at(self, partition: int, offset: int) -> Manifest:
        """Return the manifest that accounts for the offset. Raises ShardError where none does."""
        for each in self._chains.get(partition, ()):
            if each.start <= offset < each.end:
                return each
        raise ShardError(
            f"no manifest below {self._folder} accounts for offset {offset} of partition "
            f"{partition} any more: restore it, or begin a new epoch"
        )


def _chains(manifests: Iterable[Manifest]) -> dict[int, list[Manifest]]:
    return {
        partition: _chain(found)
        for partition, found in groupby(live(manifests), key=lambda each: each.partition)
    }


def _as_of(manifests: Iterable[Manifest], partition: int, generation: int) -> list[Manifest]:
    """Return the partition's chain as it was at the generation, or nothing where it has gaps."""
    known = (m for m in manifests if m.partition == partition and m.generation <= generation)
    try:
        return _chains(known).get(partition, [])
    except ShardError:
        return []


def _parts(manifest: Manifest) -> list[Shard]:
    """Return the shards of the sink that the manifest accounts for."""
    bounds = [*(manifest.parts or (manifest.start,)), manifest.end]
    return [Shard(manifest.partition, start, end) for start, end in pairwise(bounds)]


def _chain(ordered: Iterable[Manifest]) -> list[Manifest]:
    chain, end = list[Manifest](), 0
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
