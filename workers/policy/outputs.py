"""The settings of what becomes of kept pairs: shards, and takedowns."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kaption.workers.policy import Policy, PositiveFloat, PositiveInt


class SinkPolicy(Policy):
    """The sink stage: writes shards. It closes a shard at the first of three limits."""

    shard_bytes: PositiveInt = 256 * 1024 * 1024
    """Size of a shard. The workers need twice as much local disk for each partition."""
    shard_records: PositiveInt = 10_000
    """Pairs of a shard."""
    shard_age_s: PositiveFloat = 300.0
    """Time from a shard's first pair to its end. Raise it for fewer, larger shards; lower it to see
    pairs sooner."""
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_=-]+(/[A-Za-z0-9_=-]+)*$")] = "dataset"
    """Where the data set lies below store.url. Each data set needs its own."""
    spool: str | None = None
    """Local folder for images that wait for their shard: `shard_bytes` for each partition, twice
    that while a shard is written. Unset, it is the system's folder for temporary files: set it when
    that is in memory."""


class TakedownPolicy(Policy):
    """The command `kaption takedown`."""

    settle_s: Annotated[float, Field(ge=0)] = 5.0
    """Wait between the refusal of a pair and the search for it. A batch that a worker computed
    meanwhile is found if the worker commits it in this time: raise it above the time of a batch."""
