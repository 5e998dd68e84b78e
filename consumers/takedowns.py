"""The takedowns of a dataset, as any reader has to honour them."""

from __future__ import annotations

import time
from collections.abc import Callable

from consumers.manifests import Objects
from consumers.patience import patiently
from objectstore.takedowns import read_takedowns, takedown_keys
from schemas import CleanPair, Takedown, rules_for
from schemas.takedown import Rule


class Takedowns:
    """The objects ``takedown/*.json`` below `prefix`; listed again when `every_s` have passed.

    A pair costs a few look-ups, however many takedowns there are. Raises Fatal where one cannot be
    read: it is never passed over.
    """

    def __init__(
        self,
        objects: Objects,
        prefix: str,
        *,
        every_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._objects = objects
        self._prefix = prefix
        self._every_s = every_s
        self._clock = clock
        self._due = clock()
        self._known: dict[str, Takedown] = {}
        self._rules: frozenset[Rule] = frozenset()

    def covers(self, pair: CleanPair) -> bool:
        """Whether the pair is taken down, as `Takedown.covers` says of each."""
        if self._clock() >= self._due:
            patiently(self._refresh)
            self._due = self._clock() + self._every_s
        return bool(self._rules) and not self._rules.isdisjoint(rules_for(pair))

    def _refresh(self) -> None:
        keys = takedown_keys(self._objects, self._prefix)
        known = {key: found for key, found in self._known.items() if key in keys}
        self._known = known | read_takedowns(self._objects, keys - known.keys())
        self._rules = frozenset(each.rule for each in self._known.values())
