"""The takedowns of a dataset, as any reader has to honour them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from consumers.manifests import Objects, dataset_root
from consumers.patience import patiently
from schemas import CleanPair, Takedown, TakedownKind

_Rule = tuple[TakedownKind, str]


class Takedowns:
    """The objects ``takedown/*.json`` below `prefix`; listed again when `every_s` have passed.

    A pair costs a few look-ups, however many takedowns there are. Raises ValueError (pydantic)
    where one cannot be read: it is never passed over.
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
        self._folder = f"{dataset_root(prefix)}takedown/"
        self._every_s = every_s
        self._clock = clock
        self._due = clock()
        self._known: dict[str, Takedown] = {}
        self._rules: frozenset[_Rule] = frozenset()

    def covers(self, pair: CleanPair) -> bool:
        """Whether the pair is taken down, as `Takedown.covers` says of each."""
        if self._clock() >= self._due:
            patiently(self._refresh)
            self._due = self._clock() + self._every_s
        return bool(self._rules) and not self._rules.isdisjoint(_rules_for(pair))

    def _refresh(self) -> None:
        keys = set(self._objects.list(self._folder))
        known = {key: found for key, found in self._known.items() if key in keys}
        for key in keys - known.keys():
            try:
                known[key] = Takedown.model_validate_json(self._objects.get(key))
            except KeyError:  # withdrawn between listing and reading
                continue
        self._known = known
        self._rules = frozenset(_rule(each) for each in known.values())


def _rule(takedown: Takedown) -> _Rule:
    if takedown.kind is TakedownKind.DOMAIN:
        return takedown.kind, takedown.value.lower().rstrip(".")
    return takedown.kind, takedown.value


def _rules_for(pair: CleanPair) -> Iterator[_Rule]:
    """Every rule that would cover the pair."""
    yield TakedownKind.PAIR, pair.pair_id
    yield TakedownKind.SHA256, pair.image.blob.sha256
    yield TakedownKind.SHA256, pair.image.original_sha256
    for url in (pair.image.url, pair.page_url):
        if url is not None:
            yield TakedownKind.URL, url
            for domain in _domains(url):
                yield TakedownKind.DOMAIN, domain


def _domains(url: str) -> Iterator[str]:
    """The URL's host and all that it is below."""
    try:
        name = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return
    while name:
        yield name
        name = name.partition(".")[2]
