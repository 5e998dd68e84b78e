"""Which shards become one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from kaption.schemas import Manifest
from kaption.schemas.manifest import entry_of

Run = tuple[Manifest, ...]
"""Consecutive manifests of one partition."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes of tars, in bytes, and pairs of one shard."""

    below: int
    """A smaller shard is merged with its neighbours,"""
    to: int
    """as long as this is not exceeded,"""
    records: int
    """nor this."""


def plan(chain: Iterable[Manifest], limits: Limits, outdated: Collection[Manifest]) -> list[Run]:
    """Runs of small shards, as long as the limits allow, and each single one that is `outdated`."""
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
    """What counts as a shard's size."""
    return entry_of(manifest, "webdataset").bytes


def _fits(run: Run, limits: Limits) -> bool:
    size, records = sum(map(tar_bytes, run)), sum(each.pairs for each in run)
    return size <= limits.to and records <= limits.records
