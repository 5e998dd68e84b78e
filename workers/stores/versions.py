"""The published versions of each pair, in Redis: which number a new one gets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from kaption.schemas import Position
from kaption.workers.stores.client import forget_keys, redis_errors
from kaption.workers.stores.footprint import Footprint, Forgetful
from kaption.workers.stores.image_cache import TTL_S

if TYPE_CHECKING:
    import redis


class VersionCandidate(NamedTuple):
    """A pair that select could publish."""

    pair_id: str
    delivery: Position
    """The position of the message that select read."""
    own: bool
    """The pair comes for itself. Else a copy of its image brought a text."""
    text: str
    """Its best caption."""
    worth: float
    measured_by: str
    """Only worths that the same scorer measured in the same way are compared."""


class Versions(Forgetful):
    """One hash for each pair: its newest version, that one's best text, each delivery's answer.

    The first record of a pair is version 1. A record that a copy brought is the next version if
    another text is the best one and exceeds the published one by `margin`. A pair that comes for
    itself once more, in a replay or another crawl, is the newest version again. After a person
    judged a pair, no copy makes a version, and the pair that comes for itself is version 1.

    A message that is delivered again gets the same answer, and two messages never the same new
    version: a script decides, and all records of a pair have one key and so one partition.

    A hash has about 300 bytes. That of a version 1 expires after `TTL_S` seconds. The others stay,
    because a lower version never replaces a higher one. Every method raises Retry when Redis is
    down.
    """

    def __init__(self, client: redis.Redis, key_prefix: str) -> None:
        self._client = client
        self._prefix = f"{key_prefix}versions:"
        folder = files("kaption.workers.stores")
        self._decide = client.register_script((folder / "version.lua").read_text("utf-8"))
        self._judge = client.register_script((folder / "judged_version.lua").read_text("utf-8"))

    def of(self, candidates: Sequence[VersionCandidate], margin: float) -> list[int]:
        """The version of each, or 0 for one that is no better than the published version.

        One round trip.
        """
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for each in candidates:
                text = hashlib.blake2b(each.text.casefold().encode(), digest_size=16).hexdigest()
                self._decide(
                    keys=[self._prefix + each.pair_id],
                    args=[
                        *(f"at {each.delivery}", int(each.own), text, each.worth),
                        *(each.measured_by, margin, TTL_S),
                    ],
                    client=pipe,
                )
            return [int(version) for version in pipe.execute()]

    def judged(self, pair_id: str, newest: int) -> int:
        """The version of a person's decision: above `newest` and those given before.

        One round trip.
        """
        with redis_errors():
            return int(self._judge(keys=[self._prefix + pair_id], args=[newest]))

    def forget(self, footprints: Sequence[Footprint], *, dry_run: bool = False) -> int:
        """Remove the versions of the owners' pairs. One round trip."""
        owned = [each for each in footprints if each.owner is not None]
        keys = {self._prefix + each.pair_id for each in owned if each.pair_id is not None}
        return forget_keys(self._client, keys, dry_run=dry_run)
