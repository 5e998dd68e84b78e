"""Lifting takedowns: what they covered may come again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from kaption.objectstore import open_store
from kaption.objectstore.dataset.takedowns import (
    lifted_ids,
    mark_lifted,
    read_takedowns,
    takedown_keys,
)
from kaption.schemas import Takedown
from kaption.workers.settings import Settings
from kaption.workers.wiring import build_takedowns


@dataclass(frozen=True, slots=True)
class Lifted:
    """What became of a takedown that was to be lifted."""

    known: bool
    """Whether the data set or Redis has it, or it was lifted before. Otherwise nothing was done."""
    stored: bool
    """Whether the data set had it. Redis may have it from an earlier `sink.prefix`."""
    images: int
    """Images that were taken down because it led to them, and are lifted too."""


def lift(settings: Settings, takedowns: Collection[Takedown]) -> list[Lifted]:
    """Lift takedowns and those of the images that they led to, for workers and readers.

    A run that was killed is finished by the same one. Raises Retry, and Fatal on an unreadable
    takedown.
    """
    objects, prefix = open_store(settings.store), settings.sink.prefix
    stored = read_takedowns(objects, takedown_keys(objects, prefix))
    applied = build_takedowns(settings)
    known = {each.takedown_id for each in stored.values()} | lifted_ids(objects, prefix)
    known |= applied.holding({each.takedown_id for each in takedowns} - known)
    outcomes, ids = list[Lifted](), list[str]()
    for takedown in takedowns:
        rule = takedown.takedown_id
        if rule not in known:
            outcomes.append(Lifted(known=False, stored=False, images=0))
            continue
        found = {
            key: each for key, each in stored.items() if rule in (each.takedown_id, each.picture_of)
        }
        for each in (takedown, *found.values()):
            mark_lifted(objects, prefix, each)
            ids.append(each.takedown_id)
        for key in found:
            objects.delete(key)
        images = sum(each.takedown_id != rule for each in found.values())
        outcomes.append(Lifted(known=True, stored=len(found) > images, images=images))
    if ids:
        applied.lift(ids)
    return outcomes
