"""The chains of a growing dataset's manifests, and which of its shards are whose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby, pairwise
from typing import NamedTuple

from kaption.consumers.stream import Share
from kaption.objectstore.dataset.layout import dataset_root
from kaption.objectstore.dataset.manifests import ManifestCache, live
from kaption.objectstore.patience import patiently
from kaption.objectstore.store import Objects
from kaption.schemas import Manifest

_TRIES = 10


class ShardError(Exception):
    """The dataset cannot be read; the message says what is wrong and what to do."""


class Shard(NamedTuple):
    """Offsets [start, end) of one partition of the topic, as one manifest accounts for them."""

    partition: int
    start: int
    end: int


class ShardIndex:
    """The chains of the dataset at `prefix` as they were last looked at.

    In each partition the first manifest begins at 0, each other where the one before ends.
    Compaction puts one in the place of several; where it has, the chain of an earlier generation
    can be read as long as nothing of it is removed.
    """

    def __init__(self, objects: Objects, prefix: str) -> None:
        self._folder = f"{dataset_root(prefix)}manifest/"
        self._cache = ManifestCache(objects, prefix)
        self._chains: dict[int, list[Manifest]] = {}
        self._generations: dict[int, int] = {}

    def refresh(self, generations: Mapping[int, int] | None = None) -> None:
        """Look again: at each partition's chain as of the generation given for it, if it is still
        whole, else as it is now.

        Raises ShardError where a chain has a gap, ValueError (pydantic) where a manifest cannot be
        read.
        """
        for tries_left in reversed(range(_TRIES)):
            found = patiently(self._cache.read).values()
            try:
                chains = _chains(found)
            except ShardError:
                # Shards that came while we listed may be seen without their neighbours.
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
        """By partition, the generation that its chain is of."""
        return dict(self._generations)

    def ends(self) -> dict[int, int]:
        """Where each partition's chain ends."""
        return {partition: chain[-1].end for partition, chain in self._chains.items()}

    def shards(self, since: Mapping[int, int], share: Share, *, whole: bool) -> list[Shard]:
        """The share's shards, as far as they lie at the offsets `since` or later.

        A shard's owner is told by its place among the sink's shards of its partition, which is the
        same for every reader, whenever it looks: chains grow at their ends, and merged shards know
        their parts and are given part by part. With `whole` they are not: that saves reading one
        once for each of its readers, who then have to look at the same generation.
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
        """Those that account for any offset from `since` up to `until`, by partition and start."""
        return [
            each
            for chain in self._chains.values()
            for each in chain
            if each.end > since.get(each.partition, 0) and each.start < until.get(each.partition, 0)
        ]

    def at(self, partition: int, offset: int) -> Manifest:
        """The manifest that accounts for the offset. Raises ShardError where none does."""
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
    """The partition's chain without what came after the generation; empty where it has gaps."""
    known = (m for m in manifests if m.partition == partition and m.generation <= generation)
    try:
        return _chains(known).get(partition, [])
    except ShardError:
        return []


def _parts(manifest: Manifest) -> list[Shard]:
    """The sink's shards that the manifest accounts for."""
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
