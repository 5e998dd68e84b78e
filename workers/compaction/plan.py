"""Which shards are merged into one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from kaption.objectstore.dataset.checkpoint import ShardEntry

Run = tuple[ShardEntry, ...]
"""Consecutive shards of one partition, to be merged into one shard."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large shards become. A shard's size is that of its tar."""

    below: int
    """Bytes. A shard smaller than this is merged with its neighbours."""
    to: int
    """Bytes. A merged shard is not larger than this."""
    records: int
    """Samples. A merged shard has no more than this."""


def plan(chain: Iterable[ShardEntry], limits: Limits, outdated: Collection[int]) -> list[Run]:
    """Return runs of small shards that fit the limits together, and each outdated shard.

    `outdated` holds the starts of shards.

    An outdated shard is written anew even if it is large or has no small neighbour.
    """
    runs: list[Run] = []
    run: Run = ()
    for each in chain:
        if not (run and each.tar_bytes < limits.below and _fits((*run, each), limits)):
            runs.append(run)
            run = ()
        run = (*run, each)
        if each.tar_bytes >= limits.below:
            runs.append(run)
            run = ()
    runs.append(run)
    return [run for run in runs if len(run) > 1 or any(each.start in outdated for each in run)]


def _fits(run: Run, limits: Limits) -> bool:
    size, records = sum(each.tar_bytes for each in run), sum(each.pairs for each in run)
    return size <= limits.to and records <= limits.records
