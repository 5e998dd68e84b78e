"""The desk: gives people pairs to judge, and carries their decisions out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, pairwise

from kaption.connections.errors import Retry
from kaption.consumers import ReadError
from kaption.objectstore import BlobStore, ObjectStore
from kaption.objectstore.dataset.takedowns import add_takedown, lift_takedown
from kaption.schemas import AuditState, BlobRef, CleanPair, Takedown, TakedownKind
from kaption.schemas.pair import decision_key
from kaption.workers.audit.decision import Verdict, judged, resolved, superseding
from kaption.workers.audit.index import AuditIndex
from kaption.workers.audit.log import AuditLog
from kaption.workers.checks.check import Masks
from kaption.workers.stores.claims import AuditClaims
from kaption.workers.stores.takedowns import TakedownList
from kaption.workers.stores.versions import Versions

_PACE = timedelta(hours=1)

_log = logging.getLogger(__name__)


class GoneError(Exception):
    """The pair cannot be judged by this person now. The message says why."""


@dataclass(frozen=True, slots=True)
class Work:
    """How much waits for a person, and what the person has done."""

    waiting: int
    last_hour: int
    """Decisions in the last hour."""
    seconds: float | None
    """Median time between two decisions of the last hour. None: there are fewer than two."""


@dataclass(frozen=True, slots=True)
class DeskParts:
    """What the desk works with."""

    log: AuditLog
    index: AuditIndex
    claims: AuditClaims
    versions: Versions
    objects: ObjectStore
    prefix: str
    """Where the data set lies."""
    takedowns: TakedownList
    masks: Masks
    """What hides personal data in the texts that people write."""


class AuditDesk:
    """Any thread may call the methods; they wait for each other.

    A method raises Retry where Kafka, Redis or the store is down: call it again.
    """

    def __init__(self, parts: DeskParts, now: Callable[[], datetime]) -> None:
        self._parts = parts
        self._now = now
        self._blobs = BlobStore(parts.objects)
        self._lock = threading.Lock()

    def next(self, by: str) -> CleanPair | None:
        """The pair that the person judges now, claimed for that person. None: no pair waits."""
        claims = self._parts.claims
        with self._reading() as index:
            for page in index.open(by, claims.place(by)):
                pairs = {each.pair_id: each for each in page}
                for name in claims.free(by, list(pairs)):
                    if self._can_be_shown(pairs[name], index) and claims.hold(by, name):
                        return pairs[name]
        return None

    def work(self, by: str) -> Work:
        """How much waits, as of the last reading."""
        with self._lock:
            index, since = self._parts.index, self._now() - _PACE
            made = [datetime.fromisoformat(at) for at in index.made_since(by, since.isoformat())]
            steps = sorted((b - a).total_seconds() for a, b in pairwise(made))
            return Work(index.waiting(by), len(made), steps[len(steps) // 2] if steps else None)

    def seen(self, pair_id: str, by: str) -> str:
        """What the person has decided about the pair before, as a mark for `decide`."""
        with self._lock:
            return _mark(self._parts.index.decision(pair_id, by))

    def decide(
        self, by: str, pair_id: str, verdict: Verdict, seen: str, *, text: str = "", note: str = ""
    ) -> bool:
        """Carry a decision out. Returns False if it was made before: nothing is written then.

        `seen` is the mark that the page had. A request that comes twice still has the mark from
        before its decision. So every server recognises it, even if the first answer was lost.
        Raises GoneError, UnusableText.
        """
        claims, masks = self._parts.claims, self._parts.masks
        with claims.locked(pair_id), self._reading() as index:
            sample = index.sample(pair_id)
            if sample is None or self._taken_down(sample):
                raise GoneError("this pair is no longer in the sample")
            if _mark(index.decision(pair_id, by)) != seen:
                return False
            if not claims.hold(by, pair_id):
                raise GoneError("your claim ended, and another person has this pair now")
            decision = judged(sample, verdict, by, self._now(), text=text, note=note, masks=masks)
            self._carry_out(sample, decision, index)
            more = index.wants_more(pair_id)
        claims.done(by, pair_id, more=more)
        return True

    def skip(self, by: str, pair_id: str) -> None:
        """Leave the pair to others."""
        self._parts.claims.skip(by, pair_id)

    def undo(self, by: str, seen: str) -> CleanPair | None:
        """Take the person's last decision back, and claim its pair again. None: there is none.

        `seen` is the mark of that decision, see `last`.
        """
        with self._reading() as index:  # the decision may come from another server
            last = index.last(by)
        if last is None or _mark(last) != seen:
            return None
        with self._parts.claims.locked(last.pair_id), self._reading() as index:
            sample, now = index.sample(last.pair_id), index.decision(last.pair_id, by)
            if sample is None or self._taken_down(sample) or _mark(now) != seen:
                return None
            self._carry_out(sample, judged(sample, Verdict.UNDO, by, self._now()), index)
        self._parts.claims.hold(by, last.pair_id, undone=True)
        return sample

    def last(self, by: str) -> CleanPair | None:
        """The person's newest decision that stands."""
        with self._lock:
            return self._parts.index.last(by)

    def waiting(self, most: int) -> list[CleanPair]:
        """The oldest pairs that wait for anybody's decision, at most so many."""
        with self._reading() as index:
            pairs = (pair for page in index.open("") for pair in page)
            return list(islice((it for it in pairs if self._can_be_shown(it, index)), most))

    def image(self, blob: BlobRef) -> bytes:
        """The bytes of an image. Raises KeyError, CorruptBlobError."""
        return self._blobs.get(blob)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            self._parts.log.close()
            self._parts.index.close()

    @contextmanager
    def _reading(self) -> Iterator[AuditIndex]:
        with self._lock:
            try:
                self._parts.log.catch_up()
            except ReadError as error:
                raise Retry(str(error)) from error
            yield self._parts.index

    def _can_be_shown(self, pair: CleanPair, index: AuditIndex) -> bool:
        """Whether no takedown covers the pair, and its image is stored.

        A second person also sees what the first one refused.
        """
        refused = any(d.audit.state is AuditState.REFUSED for d in index.standing(pair.pair_id))
        gone = self._taken_down(pair, refused=not refused)
        return not gone and self._blobs.exists(pair.image.blob)

    def _taken_down(self, pair: CleanPair, *, refused: bool = False) -> bool:
        """Whether a takedown covers the pair; those of the audit count with `refused`."""
        return self._parts.takedowns.covering([pair], refused=refused) != [None]

    def _carry_out(self, sample: CleanPair, decision: CleanPair, index: AuditIndex) -> None:
        """Write the decision and what follows from all decisions about the pair.

        The takedown that keeps a refused pair from readers of shards is stored before the decision,
        and deleted after it. So a server that is killed between leaves a pair that readers miss and
        people still judge, and the next decision mends that.
        """
        before = index.standing(sample.pair_id)
        key = decision_key(decision)
        after = [each for each in before if decision_key(each) != key]
        if decision.audit.state is not AuditState.SAMPLED:
            after.append(decision)
        was, holds = resolved(before), resolved(after)
        version = index.version(sample.pair_id)
        clean: list[CleanPair | None] = []
        if holds is not None and holds.audit.state is AuditState.REFUSED:
            self._refuse(holds)
            clean = [None]
        elif holds is not was:
            version = self._parts.versions.judged(sample.pair_id, version)
            clean = [superseding(sample, holds, version)]
        self._parts.log.write(decision.model_copy(update={"version": version}), key, clean)
        if holds is None or holds.audit.state is not AuditState.REFUSED:
            self._lift(sample.pair_id)
        told = {"by": decision.audit.by, "pair_id": sample.pair_id}
        _log.info("audited", extra=told | {"decision": decision.audit.state.value})

    def _refuse(self, decision: CleanPair) -> None:
        reason = f"audit: {decision.audit.note}" if decision.audit.note else "audit"
        at = decision.audit.at or self._now()
        takedown = _takedown(decision.pair_id, at, reason)
        add_takedown(self._parts.objects, self._parts.prefix, takedown)
        self._parts.takedowns.add([takedown.takedown_id])

    def _lift(self, pair_id: str) -> None:
        takedown = _takedown(pair_id, self._now())
        lift_takedown(self._parts.objects, self._parts.prefix, takedown)
        # Redis may have it from an earlier `sink.prefix` alone.
        self._parts.takedowns.lift([takedown.takedown_id])


def _takedown(pair_id: str, at: datetime, reason: str = "") -> Takedown:
    kind = TakedownKind.REFUSED
    return Takedown(kind=kind, value=pair_id, reason=reason[:4096], requested_at=at)


def _mark(decision: CleanPair | None) -> str:
    return "" if decision is None or decision.audit.at is None else decision.audit.at.isoformat()
