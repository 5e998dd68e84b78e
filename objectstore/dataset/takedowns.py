"""The takedowns of a dataset: the objects ``takedown/*.json`` below its prefix."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

from pydantic import ValidationError

from kaption.connections.errors import Fatal
from kaption.objectstore.dataset.layout import dataset_root, takedown_key
from kaption.objectstore.patience import patiently
from kaption.objectstore.store import Objects, ObjectStore
from kaption.schemas import CleanPair, Takedown, encode, rules_for
from kaption.schemas.takedown import Rule
from kaption.schemas.wire import explain

_READERS = 16


def add_takedown(objects: ObjectStore, prefix: str, takedown: Takedown) -> bool:
    """From now on every reader honours it; False where it was asked for before."""
    return objects.put_if_absent(dataset_root(prefix) + takedown_key(takedown), encode(takedown))


def takedown_keys(objects: Objects, prefix: str) -> set[str]:
    """The keys of all."""
    return set(objects.list(f"{dataset_root(prefix)}takedown/"))


def read_takedowns(objects: Objects, keys: Collection[str]) -> dict[str, Takedown]:
    """By key, without those that were withdrawn since they were listed.

    Raises Fatal where one cannot be read: it is never passed over.
    """

    def read(key: str) -> tuple[str, Takedown] | None:
        try:
            return key, Takedown.model_validate_json(objects.get(key))
        except KeyError:
            return None
        except ValidationError as error:
            raise Fatal(f"{key} is {explain(error, Takedown)}; correct or delete it") from error

    if not keys:
        return {}
    with ThreadPoolExecutor(min(_READERS, len(keys))) as readers:
        return dict(filter(None, readers.map(read, keys)))


def takedown_ids(objects: Objects, prefix: str, known: Collection[str] = ()) -> set[str]:
    """The ids of all. An object that is named after a known one is not read."""
    keys = takedown_keys(objects, prefix)
    named = {key for key in keys if PurePosixPath(key).stem in known}
    read = read_takedowns(objects, keys - named).values()
    return {PurePosixPath(key).stem for key in named} | {each.takedown_id for each in read}


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
