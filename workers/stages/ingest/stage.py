"""Ingest: gets the image, decodes it safely, cleans the alt text, stores and deduplicates."""

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
from kaption.workers.stores.takedowns import TakedownList
from kaption.workers.text.clean import Note, read_alt_text
from kaption.workers.text.language import LanguageDetector

_BATCH_WAIT_S = 0.5
"""How long a batch that is not full waits for more records: it shares one commit with them."""

_SCRIPT = "no accepted language is written in the script of the text"


@dataclass(frozen=True, slots=True)
class IngestInput:
    """A prepared pair. Only deduplication and takedowns can still reject it."""

    pair: IngestedPair
    """Validated before anything is claimed. Its dedup and provenance are filled in later."""
    arrived: Arrived
    seconds: float
    """Seconds that the preparation took."""


@dataclass(frozen=True, slots=True)
class IngestParts:
    """What ingest works with. The stage closes the fetcher and the decoder."""

    fetcher: Fetcher
    decoder: DecodePool
    blobs: BlobStore
    dedup: Dedup
    answers: Answers
    takedowns: TakedownList
    languages: LanguageDetector


class IngestStage(Stage[RawPair, IngestInput]):
    """Turns a crawler's pair into one whose image is stored and new.

    Claims last for ever, so they come after every other step that may reject the record, and after
    the image is stored and remembered for every delivery of the record (see `Arrivals`). Takedowns
    are looked up twice: before the image is fetched, by the crawler's fields, and before it is
    stored, by the image itself.
    """

    name = "ingest"
    inputs = (RAW,)
    outputs = (INGESTED,)

    def __init__(
        self,
        policy: IngestPolicy,
        parts: IngestParts,
        *,
        now: Callable[[], datetime],
    ) -> None:
        """`now` returns aware UTC times."""
        self._policy = policy
        self._arrivals = Arrivals(
            parts.fetcher, parts.decoder, parts.blobs, parts.answers, policy.fetch.max_bytes
        )
        self._claims = DuplicateClaims(parts.dedup, policy.dedup)
        self._takedowns = parts.takedowns
        self._languages = parts.languages
        self._tracer = Tracer(self.name, now, policy)

    @property
    def batching(self) -> Batching:
        """As the policy says."""
        return Batching(self._policy.batch_records, _BATCH_WAIT_S)

    def setup(self) -> None:
        """Load the language models. Raises Fatal on a language that cannot be detected."""
        self._languages.load()
        self._arrivals.setup()

    def prepare(self, message: Incoming[RawPair]) -> IngestInput:
        """Fetch and decode the image, and clean the text.

        Raises Reject for every reason but duplicates, Retry, and Fatal when no decoder starts.
        """
        began = time.perf_counter()
        record = message.record
        if self._policy.respect_opt_out and record.opt_out:
            raise Reject(Reason.OPTED_OUT, ", ".join(signal.kind for signal in record.opt_out))
        for rejection in self._takedowns.rejections([record]).values():
            raise rejection
        arrived = self._arrivals.get(message)
        alt = read_alt_text(record.text, record.language, self._policy.text, self._languages)
        if not self._languages.accepts(alt.detected, alt.text):
            found = alt.detected
            detail = f"{found.tag} with confidence {found.confidence:.2f}" if found else _SCRIPT
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
        """Store the new images, then claim them. Raises Retry when a store is down."""
        began = time.perf_counter()
        messages = [message for message, _ in batch]
        inputs = [prepared for _, prepared in batch]
        origins = [message.origin for message in messages]
        gone = self._takedowns.rejections([one.pair for one in inputs])
        # Look before storing: most duplicates end here, and a copy of a held image is not stored.
        held = self._claims.held([one.pair.image for one in inputs], origins)
        settled = self._arrivals.keep(messages, [one.arrived for one in inputs], held | gone)
        # `gone` comes last: for a record that was delivered before, `keep` returns the remembered
        # image, although the pair was taken down meanwhile.
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
            pair = inputs[at].pair.model_copy(update={"image": images[at].reference()})
            pair = self._finished(pair, origins[at], count, inputs[at].seconds + share)
            outcomes[at] = Emit(((INGESTED, pair),))
        return [outcomes[at] for at in range(len(batch))]

    def ready(self) -> str | None:
        """None when blob store and Redis answer, else the error."""
        return self._arrivals.ready() or self._claims.ready()

    def close(self) -> None:
        """End the decoding processes and the fetcher too: the stage is their only user."""
        self._arrivals.close()

    def _finished(
        self, pair: IngestedPair, origin: Position, uses: int | None, seconds: float
    ) -> IngestedPair:
        """The pair with its claims and its trace. A text of too many images is dropped."""
        changes: dict[str, Any] = {
            "dedup": DedupInfo(owner=str(origin), text_uses=uses),
            "provenance": Provenance().then(self._tracer.trace(seconds)),
        }
        if uses is not None and uses > self._policy.dedup.text_uses:
            changes |= {"clean_text": "", "text_notes": (*pair.text_notes, Note.REPEATED.value)}
        return pair.model_copy(update=changes)
