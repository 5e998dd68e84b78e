"""The chains of a growing dataset's manifests, and which of its shards are whose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import NamedTuple

from consumers.manifests import Objects, dataset_root
from consumers.patience import patiently
from consumers.share import Share
from schemas import Manifest

_READERS = 16
_TRIES = 3


class ShardError(Exception):
    """The dataset cannot be read; the message says what is wrong and what to do."""


class Shard(NamedTuple):
    """Offsets [start, end) of one partition of the topic, as one manifest accounts for them."""

    partition: int
    start: int
    end: int


class ShardIndex:
    """Manifests below `prefix`, each read once; `refresh` finds the new ones.

    In each partition they form a chain: the first begins at 0, each other where the one before
    ends. One that begins before that end is passed over: it was merged into a larger one and is
    about to go.
    """

    def __init__(self, objects: Objects, prefix: str) -> None:
        self._objects = objects
        self._folder = f"{dataset_root(prefix)}manifest/"
        self._known: dict[str, Manifest] = {}
        self._chains: dict[int, list[Manifest]] = {}

    def refresh(self, *, anew: bool = False) -> None:
        """Read the manifests that are new; with `anew` also those that were replaced in place.

        Raises ShardError where a chain has a gap, ValueError (pydantic) where one is unreadable.
        """
        if anew:
            self._known.clear()
        for tries_left in reversed(range(_TRIES)):
            try:
                patiently(self._read)
                self._chains = {
                    partition: _chain(found)
                    for partition, found in groupby(
                        sorted(self._known.values(), key=lambda each: (each.partition, each.start)),
                        key=lambda each: each.partition,
                    )
                }
            except (KeyError, ShardError):
                # Somebody merges shards while we look: what we knew may no longer be so.
                self._known.clear()
                if not tries_left:
                    raise
            else:
                return

    def ends(self) -> dict[int, int]:
        """Where each partition's chain ends."""
        return {partition: chain[-1].end for partition, chain in self._chains.items()}

    def shards(self, since: Mapping[int, int], share: Share) -> list[Shard]:
        """The share's shards, as far as they lie at the offsets `since` or later.

        A chain only grows at its end, so a shard's place in it, and with that its owner, is the
        same for every reader, whenever it looks (merging shards changes their places).
        """
        return [
            Shard(each.partition, max(each.start, since.get(each.partition, 0)), each.end)
            for chain in self._chains.values()
            for place, each in enumerate(chain)
            if each.end > since.get(each.partition, 0) and share.owns(each.partition + place)
        ]

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

    def _read(self) -> None:
        keys = set(self._objects.list(self._folder))
        for gone in self._known.keys() - keys:
            del self._known[gone]
        new = sorted(keys - self._known.keys())
        with ThreadPoolExecutor(_READERS) as pool:
            for key, data in zip(new, pool.map(self._objects.get, new), strict=True):
                self._known[key] = Manifest.model_validate_json(data)


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
