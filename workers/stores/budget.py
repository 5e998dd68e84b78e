"""The daily budget: what captioners took since midnight UTC, in one hash of Redis."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, cast

from kaption.workers.stores.client import redis_errors

if TYPE_CHECKING:
    import redis

UNITS = ("cost", "tokens", "model_seconds")
_TTL_S = 2 * 24 * 3600
"""A day and the batches that end after it."""


@dataclass(frozen=True, slots=True)
class BudgetPart:
    """The part of a day's budget that is reserved for one batch of one captioner."""

    name: str
    day: date
    captioner: str
    images: int
    """How many of the batch may be asked about; 0: the budget is used up."""


class DailyBudget:
    """One hash for each day, which all workers share. One thread may call it, in one worker.

    A batch is reserved before it is asked about, by the captioner's mean of the day, and settled
    with what it took. So replicas do not spend the same rest, and a budget is exceeded only by what
    batches under way take above the mean: each captioner's first batch of a day, in each worker, in
    full. The alternative, to count afterwards alone, exceeds it by a batch of each worker each day.
    A worker that is killed leaves its reservation counted until midnight.

    The day is that of the worker's clock. `reserve`, `flush` and `today` raise Retry when Redis is
    down.
    """

    def __init__(
        self,
        client: redis.Redis,
        key_prefix: str,
        limits: Mapping[str, float],
        now: Callable[[], datetime],
    ) -> None:
        """`limits` by units; `now` returns aware UTC times."""
        self.limits = limits
        self._client = client
        self._prefix = f"{key_prefix}budget:"
        self._now = now
        lua = files("kaption.workers.stores")
        self._reserve = client.register_script((lua / "budget_reserve.lua").read_text("utf-8"))
        self._settle = client.register_script((lua / "budget_settle.lua").read_text("utf-8"))
        self._late: list[tuple[BudgetPart, int, Mapping[str, float]]] = []
        self._refused: date | None = None

    def used_up(self) -> bool:
        """Whether the latest batch of today was refused, at least in part. Asks no server."""
        return self._refused == self._now().date()

    def reserve(self, captioner: str, images: int) -> BudgetPart:
        """Reserve the budget for these images, or for as many of them as it lasts."""
        self.flush()
        day, name = self._now().date(), uuid.uuid4().hex
        limits = [part for limit in self.limits.items() for part in limit]
        with redis_errors():
            allowed = self._reserve([self._key(day)], [name, captioner, images, _TTL_S, *limits])
        self._refused = day if cast(int, allowed) < images else None
        return BudgetPart(name, day, captioner, cast(int, allowed))

    def settle(self, grant: BudgetPart, images: int, took: Mapping[str, float]) -> None:
        """Note what the batch took, and for how many images; `flush` sends it to Redis."""
        if grant.images:
            self._late.append((grant, images, took))

    def flush(self) -> None:
        """Send what `settle` noted. What Redis did not take is kept for the next call."""
        while self._late:
            grant, images, took = self._late[0]
            amounts = [part for unit in UNITS for part in (unit, repr(took.get(unit, 0)))]
            with redis_errors():
                self._settle(
                    [self._key(grant.day)], [grant.name, grant.captioner, images, *amounts]
                )
            del self._late[0]

    def today(self) -> dict[str, float]:
        """What all workers took today and settled, by units; `used_up` is 1 or 0."""
        names = [*UNITS, "used_up"]
        with redis_errors():
            found = self._client.hmget(self._key(self._now().date()), names)
        return {
            name: float(value or 0)
            for name, value in zip(names, cast("list[bytes | None]", found), strict=True)
        }

    def _key(self, day: date) -> str:
        return f"{self._prefix}{day.isoformat()}"
