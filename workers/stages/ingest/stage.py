"""Ingest: get the image, decode it safely, deduplicate, clean the alt text, store the bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kaption.objectstore.blobs import BlobStore
from kaption.schemas import DedupInfo, IngestedPair, Position, Provenance, RawPair, Reason
from kaption.schemas.topics import INGESTED, RAW
from kaption.workers.decode.pool import DecodePool
from kaption.workers.fetch.fetcher import Fetcher
from kaption.workers.policy import IngestPolicy
from kaption.workers.runtime.stage import Batching, Emit, Incoming, Outcome, Reject, Stage
from kaption.workers.stages.ingest.arrivals import Arrivals, Arrived
from kaption.workers.stages.ingest.duplicates import DuplicateClaims
from kaption.workers.stages.provenance import Tracer
from kaption.workers.stores.answers import Answers
from kaption.workers.stores.dedup import Dedup
from kaption.workers.stores.takedowns import TakedownList, taken_down
from kaption.workers.text.alt_text import read_alt_text
from kaption.workers.text.language import LanguageDetector
from kaption.workers.text.notes import Note

_BATCH_WAIT_S = 0.5
"""How long a batch that is not full waits for more records: it shares one commit with them."""


@dataclass(frozen=True, slots=True)
class IngestInput:
    """A pair that only its claims can still reject.

    `pair` is complete but for dedup and provenance: what could fail to validate has been validated
    before anything is claimed.
    """

    pair: IngestedPair
    arrived: Arrived
    seconds: float


class IngestStage(Stage[RawPair, IngestInput]):
    """From what a crawler found to a pair whose image is stored and known to be new.

    Order matters: claims survive for ever, so they come after everything that may reject, and after
    what they are on is stored and remembered for every delivery of the record (see `Arrivals`).
    What is taken down is refused before it is fetched, by what the crawler tells of it, and before
    it is stored, by what it then is.
    """

    name = "ingest"
    inputs = (RAW,)
    outputs = (INGESTED,)

    def __init__(
        self,
        policy: IngestPolicy,
        fetcher: Fetcher,
        decoder: DecodePool,
        blobs: BlobStore,
        dedup: Dedup,
        answers: Answers,
        takedowns: TakedownList,
        languages: LanguageDetector,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._policy = policy
        self._arrivals = Arrivals(fetcher, decoder, blobs, answers, policy.fetch.max_bytes)
        self._claims = DuplicateClaims(dedup, policy.dedup)
        self._takedowns = takedowns
        self._languages = languages
        self._tracer = Tracer(self.name, now, policy)

    @property
    def batching(self) -> Batching:
        """Of the policy."""
        return Batching(self._policy.batch_records, _BATCH_WAIT_S)

    def setup(self) -> None:
        """Raises Fatal on languages that cannot be detected."""
        self._languages.load()
        self._arrivals.setup()

    def prepare(self, message: Incoming[RawPair]) -> IngestInput:
        """Fetch, decode and read one pair. Raises Reject for all but duplicates, and Retry."""
        began = time.perf_counter()
        record = message.record
        if self._policy.respect_opt_out and record.opt_out:
            raise Reject(Reason.OPTED_OUT, ", ".join(signal.kind for signal in record.opt_out))
        for refusal in taken_down(self._takedowns, [record]).values():
            raise refusal
        arrived = self._arrivals.get(message)
        alt = read_alt_text(record.text, record.language, self._policy.text, self._languages)
        if alt.detected is not None and not self._languages.accepts(alt.detected):
            detail = f"{alt.detected.tag} with confidence {alt.detected.confidence:.2f}"
            raise Reject(Reason.LANGUAGE_REFUSED, detail)
        fields: dict[str, Any] = dict(record) | {
            "image": arrived.image,
            "clean_text": alt.text,
            "text_notes": tuple(note.value for note in alt.notes),
            "detected_language": alt.detected.tag if alt.detected else None,
            "language_confidence": alt.detected.confidence if alt.detected else None,
            "dedup": DedupInfo(owner=str(message.origin)),
        }
        seconds = time.perf_counter() - began
        return IngestInput(IngestedPair(**fields), arrived, seconds)

    def process(self, batch: Sequence[tuple[Incoming[RawPair], IngestInput]]) -> Sequence[Outcome]:
        """Store what is new, then claim it. Raises Retry when a store is down."""
        began = time.perf_counter()
        messages = [message for message, _ in batch]
        inputs = [prepared for _, prepared in batch]
        origins = [message.origin for message in messages]
        gone = taken_down(self._takedowns, [one.pair for one in inputs])
        # A copy of what is held needs no storing: most duplicates end at this look.
        held = self._claims.held([one.pair.image for one in inputs], origins)
        settled = self._arrivals.keep(messages, [one.arrived for one in inputs], held | gone)
        # `gone` again: of a record that was delivered before, an earlier image is remembered.
        rejected = {at: one for at, one in enumerate(settled) if isinstance(one, Reject)} | gone
        images = {
            at: one
            for at, one in enumerate(settled)
            if not isinstance(one, Reject) and at not in gone
        }
        rejected |= self._claims.duplicates(images, origins)
        kept = [at for at in images if at not in rejected]
        uses = self._claims.text_uses(
            [inputs[at].pair.clean_text for at in kept], [origins[at] for at in kept]
        )
        share = (time.perf_counter() - began) / len(batch)
        outcomes: dict[int, Outcome] = dict(rejected)
        for at, count in zip(kept, uses, strict=True):
            pair = inputs[at].pair.model_copy(update={"image": images[at]})
            pair = self._finished(pair, origins[at], count, inputs[at].seconds + share)
            outcomes[at] = Emit(((INGESTED, pair),))
        return [outcomes[at] for at in range(len(batch))]

    def ready(self) -> str | None:
        """None when blob store and Redis answer."""
        return self._arrivals.ready() or self._claims.ready()

    def close(self) -> None:
        """Ends the decoding processes and the fetcher too: the stage is their only user."""
        self._arrivals.close()

    def _finished(
        self, pair: IngestedPair, origin: Position, uses: int | None, seconds: float
    ) -> IngestedPair:
        """The pair with its claims, its trace, and without a text that is on too many images."""
        changes: dict[str, Any] = {
            "dedup": DedupInfo(owner=str(origin), text_uses=uses),
            "provenance": Provenance().then(self._tracer.trace(seconds)),
        }
        if uses is not None and uses > self._policy.dedup.text_uses:
            changes |= {"clean_text": "", "text_notes": (*pair.text_notes, Note.REPEATED.value)}
        return pair.model_copy(update=changes)
