"""Ingest: get the picture, decode it safely, deduplicate, clean the alt text, store the bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from schemas import (
    BlobRef,
    DedupInfo,
    ImageRef,
    IngestedPair,
    Position,
    Provenance,
    RawPair,
    Reason,
)
from schemas.topics import INGESTED, RAW
from workers.policy import IngestPolicy
from workers.runtime.stage import Batching, Emit, Message, Outcome, Reject, Stage
from workers.stages.claims import Claims
from workers.stages.delivered import Blobs, Decoder, Fetcher, delivered_bytes
from workers.stages.trace import Tracer
from workers.stores.dedup import Dedup
from workers.text.alt_text import Languages, read_alt_text
from workers.text.notes import Note

if TYPE_CHECKING:
    from workers.images.decoded import Decoded

_JPEG = "image/jpeg"
_BLOB_WRITERS = 8
"""Blobs of a batch written at once: a store answers in milliseconds to tens of them."""


@dataclass(frozen=True, slots=True)
class IngestInput:
    """A pair that only its claims can still reject.

    `pair` is complete but for dedup and provenance: what could fail to validate has been validated
    before anything is claimed.
    """

    pair: IngestedPair
    jpeg: bytes
    dhash: int | None
    seconds: float


class IngestStage(Stage[RawPair, IngestInput]):
    """From what a crawler found to a pair whose image is stored and known to be new.

    Order matters: claims survive for ever, so they come after everything that may reject, and only
    writing the blobs, which may only ask for a Retry, comes after them.
    """

    name = "ingest"
    inputs = (RAW,)
    outputs = (INGESTED,)

    def __init__(
        self,
        policy: IngestPolicy,
        fetcher: Fetcher,
        decoder: Decoder,
        blobs: Blobs,
        dedup: Dedup,
        languages: Languages,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._policy = policy
        self._fetcher = fetcher
        self._decoder = decoder
        self._blobs = blobs
        self._claims = Claims(dedup, policy.dedup)
        self._languages = languages
        self._tracer = Tracer(self.name, policy, now)

    @property
    def batching(self) -> Batching:
        """Of the policy."""
        return Batching(self._policy.batch_records, self._policy.batch_wait_s)

    def setup(self) -> None:
        """Raises Fatal on languages that cannot be detected."""
        self._languages.load()
        self._writers = ThreadPoolExecutor(_BLOB_WRITERS, "blob-writer")

    def prepare(self, message: Message[RawPair]) -> IngestInput:
        """Fetch, decode and read one pair. Raises Reject for all but duplicates, and Retry."""
        began = time.perf_counter()
        record = message.record
        if self._policy.respect_opt_out and record.opt_out:
            raise Reject(Reason.OPTED_OUT, ", ".join(signal.kind for signal in record.opt_out))
        data, url = delivered_bytes(
            record.image, self._fetcher, self._blobs, self._policy.fetch.max_bytes
        )
        decoded = self._decoder.decode(data)
        alt = read_alt_text(record.text, record.language, self._policy.text, self._languages)
        if alt.detected is not None and not self._languages.accepts(alt.detected):
            detail = f"{alt.detected.tag} with confidence {alt.detected.confidence:.2f}"
            raise Reject(Reason.LANGUAGE_REFUSED, detail)
        fields: dict[str, Any] = dict(record) | {
            "image": _image_ref(decoded, url),
            "clean_text": alt.text,
            "text_notes": tuple(note.value for note in alt.notes),
            "detected_language": alt.detected.tag if alt.detected else None,
            "language_confidence": alt.detected.confidence if alt.detected else None,
            "dedup": DedupInfo(owner=str(message.origin)),
        }
        seconds = time.perf_counter() - began
        return IngestInput(IngestedPair(**fields), decoded.jpeg, decoded.dhash, seconds)

    def process(self, batch: Sequence[tuple[Message[RawPair], IngestInput]]) -> Sequence[Outcome]:
        """Claim, then store what is new. Raises Retry when a store is down."""
        began = time.perf_counter()
        origins = [message.origin for message, _ in batch]
        inputs = [prepared for _, prepared in batch]
        rejected = self._claims.duplicates(
            [one.pair.image.original_sha256 for one in inputs],
            [one.dhash for one in inputs],
            origins,
        )
        kept = [at for at in range(len(batch)) if at not in rejected]
        uses = self._claims.text_uses(
            [inputs[at].pair.clean_text for at in kept], [origins[at] for at in kept]
        )
        # list() waits for all of them and raises the first failure.
        list(self._writers.map(lambda at: self._blobs.put(inputs[at].jpeg, _JPEG), kept))
        share = (time.perf_counter() - began) / len(batch)
        outcomes: dict[int, Outcome] = dict(rejected)
        for at, count in zip(kept, uses, strict=True):
            pair = self._finished(inputs[at], origins[at], count, inputs[at].seconds + share)
            outcomes[at] = Emit(((INGESTED, pair),))
        return [outcomes[at] for at in range(len(batch))]

    def ready(self) -> str | None:
        """None when blob store and Redis answer."""
        return self._blobs.ready() or self._claims.ready()

    def close(self) -> None:
        """Ends the decoding processes and the fetcher too: the stage is their only user."""
        self._fetcher.close()
        self._decoder.close()
        if hasattr(self, "_writers"):
            self._writers.shutdown()

    def _finished(
        self, prepared: IngestInput, origin: Position, uses: int | None, seconds: float
    ) -> IngestedPair:
        """The pair with its claims, its trace, and without a text that is on too many pictures."""
        pair = prepared.pair
        changes: dict[str, Any] = {
            "dedup": DedupInfo(owner=str(origin), text_uses=uses),
            "provenance": Provenance().then(self._tracer.trace(seconds)),
        }
        if uses is not None and uses > self._policy.dedup.text_uses:
            changes |= {"clean_text": "", "text_notes": (*pair.text_notes, Note.REPEATED.value)}
        return pair.model_copy(update=changes)


def _image_ref(decoded: Decoded, url: str | None) -> ImageRef:
    return ImageRef(
        blob=BlobRef(sha256=decoded.sha256, bytes=len(decoded.jpeg), media_type=_JPEG),
        width=decoded.width,
        height=decoded.height,
        original_sha256=decoded.original_sha256,
        original_width=decoded.original_width,
        original_height=decoded.original_height,
        original_bytes=decoded.original_bytes,
        original_format=decoded.original_format,
        url=url,
        perceptual_hash=decoded.perceptual_hash,
    )
