"""Which shards are merged into one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from kaption.schemas import Manifest
from kaption.schemas.manifest import entry_of

Run = tuple[Manifest, ...]
"""Consecutive manifests of one partition, to be merged into one shard."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large shards become. A shard's size is that of its tar."""

    below: int
    """Bytes. A shard smaller than this is merged with its neighbours."""
    to: int
    """Bytes. A merged shard is not larger than this."""
    records: int
    """Samples. A merged shard has no more than this."""


def plan(chain: Iterable[Manifest], limits: Limits, outdated: Collection[Manifest]) -> list[Run]:
    """Return runs of small shards that fit the limits together, and each `outdated` shard.

    An outdated shard is written anew even if it is large or has no small neighbour.
    """
    runs: list[Run] = []
    run: Run = ()
    for each in chain:
        if not (run and tar_bytes(each) < limits.below and _fits((*run, each), limits)):
            runs.append(run)
            run = ()
        run = (*run, each)
        if tar_bytes(each) >= limits.below:
            runs.append(run)
            run = ()
    runs.append(run)
    return [run for run in runs if len(run) > 1 or any(each in outdated for each in run)]


def tar_bytes(manifest: Manifest) -> int:
    """Return the size of a shard's tar."""
    return entry_of(manifest, "webdataset").bytes


def _fits(run: Run, limits: Limits) -> bool:
    size, records = sum(map(tar_bytes, run)), sum(each.pairs for each in run)
    return size <= limits.to and records <= limits.records
