"""The takedowns of a dataset: rules, stored beside the manifests, that every reader applies."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor

from pydantic import ValidationError

from kaption.connections.errors import Fatal
from kaption.objectstore.dataset.layout import Layout, takedown_id_of
from kaption.objectstore.open import patiently
from kaption.objectstore.store import ObjectStore
from kaption.schemas import CleanPair, Takedown, encode, rules_for
from kaption.schemas.takedown import Rule
from kaption.schemas.wire import explain

_READERS = 16


class Takedowns:
    """The takedowns of the dataset at `prefix`, listed again after every `every_s` seconds.

    Asking for a pair costs a few look-ups, however many takedowns there are. Raises Fatal for a
    takedown that cannot be parsed: leaving it out would show what somebody had removed.
    """

    def __init__(
        self,
        objects: ObjectStore,
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
        """Return whether any takedown covers the pair, as `Takedown.covers` does for one."""
        return self.hold(rules_for(pair))

    def hold(self, rules: Iterable[Rule]) -> bool:
        """Return whether there is a takedown with any of these rules."""
        self._look()
        return bool(self._rules) and not self._rules.isdisjoint(rules)

    def rules(self) -> frozenset[Rule]:
        """The rules of the takedowns that `covers` asks."""
        self._look()
        return self._rules

    def digest(self) -> str:
        """A digest of the takedowns that `covers` asks; see `takedowns_digest`."""
        self._look()
        return takedowns_digest(self._known)

    def _look(self) -> None:
        if self._clock() >= self._due:
            patiently(self._refresh)
            self._due = self._clock() + self._every_s

    def _refresh(self) -> None:
        keys = takedown_keys(self._objects, self._prefix)
        known = {key: found for key, found in self._known.items() if key in keys}
        self._known = known | read_takedowns(self._objects, keys - known.keys())
        self._rules = frozenset(each.rule for each in self._known.values())


def takedowns_digest(keys: Iterable[str]) -> str:
    """A digest of takedowns by their keys: 32 hexadecimal digits."""
    names = "\n".join(sorted(map(takedown_id_of, keys)))
    return hashlib.sha256(names.encode()).hexdigest()[:32]


def add_takedown(objects: ObjectStore, prefix: str, takedown: Takedown) -> bool:
    """Store a takedown, for all readers. Returns False where the same one was stored before."""
    return objects.put_if_absent(Layout(prefix).takedown(takedown), encode(takedown))


def lift_takedown(objects: ObjectStore, prefix: str, takedown: Takedown) -> bool:
    """Delete a takedown, and say that it was lifted. Returns False where there is none.

    A takedown that is only missing still holds for workers, see `TakedownList`. Therefore the lift
    is written first.
    """
    key = Layout(prefix).takedown(takedown)
    if not objects.exists(key):
        return False
    mark_lifted(objects, prefix, takedown)
    objects.delete(key)
    return True


def mark_lifted(objects: ObjectStore, prefix: str, takedown: Takedown) -> None:
    """Say that a takedown was lifted. It may be one of another prefix."""
    objects.put(
        Layout(prefix).takedown_lifted(takedown), encode(takedown), media_type="application/json"
    )


def lifted_ids(objects: ObjectStore, prefix: str) -> set[str]:
    """Return the ids of all takedowns that were lifted, also of those that hold again."""
    return set(map(takedown_id_of, objects.list(Layout(prefix).takedowns_lifted())))


def takedown_keys(objects: ObjectStore, prefix: str) -> set[str]:
    """Return the keys of all takedowns."""
    return set(objects.list(Layout(prefix).takedowns()))


def read_takedowns(objects: ObjectStore, keys: Collection[str]) -> dict[str, Takedown]:
    """Return takedowns by key, without those that were deleted after they were listed.

    Raises Fatal for one that cannot be parsed.
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


def takedown_ids(objects: ObjectStore, prefix: str, known: Collection[str] = ()) -> set[str]:
    """Return the ids of all takedowns.

    An object whose name is an id in `known` is not read. Others are, because a person may have
    stored a takedown under any name.
    """
    keys = takedown_keys(objects, prefix)
    named = {key for key in keys if takedown_id_of(key) in known}
    read = read_takedowns(objects, keys - named).values()
    return {takedown_id_of(key) for key in named} | {each.takedown_id for each in read}
