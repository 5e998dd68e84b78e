"""Ingest: gets the image, decodes it safely, cleans the alt text, stores and deduplicates."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from html import unescape
from io import BytesIO
from typing import Any

from kaption.schemas import (
    DedupInfo,
    ImageSource,
    IngestedPair,
    Position,
    Provenance,
    RawPair,
    Reason,
)
from kaption.schemas.limits import LIST_ITEMS
from kaption.schemas.topics import INGESTED, RAW
from kaption.workers.fetch.target import server_of
from kaption.workers.policy.ingest import IngestPolicy
from kaption.workers.runtime.stage import Batching, Emit, Incoming, Outcome, Reject, Stage
from kaption.workers.safety.licence import AcceptedLicences
from kaption.workers.stages.ingest.arrivals import Arrivals, Arrived, IngestParts
from kaption.workers.stages.ingest.duplicates import DuplicateClaims
from kaption.workers.stages.ingest.opt_outs import OptOuts
from kaption.workers.stages.provenance import Tracer
from kaption.workers.stores.answers import SketchedImage
from kaption.workers.stores.copy_texts import RefusedCopy
from kaption.workers.stores.footprint import Footprint
from kaption.workers.text.clean import Note, read_alt_text, steps_id

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
        self, policy: IngestPolicy, parts: IngestParts, *, now: Callable[[], datetime]
    ) -> None:
        """`now` returns aware UTC times. Raises Fatal on an accepted licence that is not known."""
        self._policy = policy
        self._parts = parts
        self._opt_outs = OptOuts(policy, parts.fetcher.sites)
        self._arrivals = Arrivals(parts, self._opt_outs, policy.fetch.max_bytes)
        self._licences = AcceptedLicences(parts.safety.licences)
        self._claims = DuplicateClaims(parts.dedup, parts.blobs, policy.dedup)
        self._tracer = Tracer(self.name, now, policy, parts.safety)

    @property
    def batching(self) -> Batching:
        """The batches of records that the policy asks for."""
        return Batching(self._policy.batch_records, _BATCH_WAIT_S, any_order=True)

    @property
    def lane_width(self) -> int:
        """Connections that one web server gets at once."""
        return self._policy.fetch.per_host

    def lane(self, message: Incoming[RawPair]) -> str | None:
        """The web server that has the image."""
        url = message.record.image.url
        return None if url is None else server_of(url)

    def setup(self) -> None:
        """Load the language models and what checks of images need. Raises Fatal."""
        for check in self._parts.image_checks:
            check.setup()
        self._parts.languages.load()

    def prepare(self, message: Incoming[RawPair]) -> IngestInput:
        """Fetch and decode the image, and clean the text.

        Raises Reject for every reason but duplicates, Later when the web server asks for a pause,
        Retry, and Fatal when no decoder starts.
        """
        began = time.perf_counter()
        record = self._opt_outs.with_terms(message.record)
        self._opt_outs.refuse(record.opt_out)
        self._parts.documents.refuse(record.ocr)
        licence_id = self._licences.checked(record.licence)
        for rejection in self._parts.takedowns.rejections([record]).values():
            raise rejection
        arrived = self._arrivals.get(message)
        languages = self._parts.languages
        alt = read_alt_text(record.text, record.language, self._policy.text, languages)
        if not languages.accepts(alt.detected, alt.text):
            found = alt.detected
            detail = f"{found.tag} with confidence {found.confidence:.2f}" if found else _SCRIPT
            raise Reject(Reason.LANGUAGE_REFUSED, detail)
        masks = self._parts.masks
        clean, given = masks.text(alt.text), masks.text(record.text)
        # Markup may hide from the masks what it shows to readers.
        for shown in (masks.text(unescape(record.text)), clean):
            given = given if set(shown.by) <= set(given.by) else shown
        fields: dict[str, Any] = dict(record) | {
            "image": arrived.image,
            "licence_id": licence_id,
            "text": given.text,
            "ocr": masks.each(record.ocr),
            "clean_text": clean.text,
            "masked": tuple(dict.fromkeys((*record.masked, *clean.by, *given.by))),
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
        gone = self._parts.takedowns.rejections([one.pair for one in inputs])
        # Look before storing: most duplicates end here, and a copy of a held image is not stored.
        held = self._claims.held([one.pair.image for one in inputs], origins)
        # Now, because `keep` remembers the refusal: the record's next delivery ends in `prepare`.
        again = self._keep_texts(inputs, {at: one for at, one in held.items() if at not in gone})
        # A copy that sends its kept pair once more must come here in its next delivery too.
        refused = {at: one for at, one in held.items() if at not in again} | gone
        settled = self._arrivals.keep(messages, [one.arrived for one in inputs], refused)
        # `gone` comes last: for a record that was delivered before, `keep` returns the remembered
        # image, although the pair was taken down meanwhile.
        rejected = {at: one for at, one in enumerate(settled) if isinstance(one, Reject)} | gone
        images = {
            at: one
            for at, one in enumerate(settled)
            if not isinstance(one, Reject) and at not in gone
        }
        arrived = [one.arrived for one in inputs]
        jpegs = {each.image.blob.sha256: each.jpeg for each in arrived if each.jpeg is not None}
        copies = self._claims.duplicates(images, origins, jpegs)
        again = self._keep_texts(inputs, copies)
        rejected |= copies
        kept = [at for at in images if at not in rejected]
        uses = self._claims.text_uses(
            [inputs[at].pair.clean_text for at in kept], [origins[at] for at in kept]
        )
        share = (time.perf_counter() - began) / len(batch)
        outcomes: dict[int, Outcome] = dict(rejected)
        outcomes |= {at: Emit(((INGESTED, pair),)) for at, pair in again.items()}
        new: list[IngestedPair] = []
        for at, count in zip(kept, uses, strict=True):
            pair = self._finished(
                inputs[at].pair, images[at], origins[at], count, inputs[at].seconds + share
            )
            new.append(pair)
            outcomes[at] = Emit(((INGESTED, pair),))
        if self._policy.dedup.later_texts:
            self._parts.copies.keep(new)
        return [outcomes[at] for at in range(len(batch))]

    def probe(self) -> None:
        """Decode and claim an image of our own, and forget the claims. No blob is written.

        The image is noise: no other is like it. Raises any error, and Retry when Redis is down.
        """
        record = RawPair(pair_id="probe", text="", image=ImageSource(inline=self._noise()))
        origin = Position(topic="probe", partition=0, offset=0)
        message = Incoming(record, origin, origin)
        read_alt_text("A red vase", None, self._policy.text, self._parts.languages)
        made = self.prepare(message)
        image = made.arrived.image
        pair = made.pair.model_copy(update={"clean_text": image.blob.sha256})
        try:
            self._parts.answers.first([origin], [origin], [image])
            self.process([(message, replace(made, pair=pair, arrived=Arrived(image, None)))])
        finally:
            for store in (self._parts.dedup, self._parts.answers, self._parts.copies):
                store.forget([Footprint.of(pair)])

    def ready(self) -> str | None:
        """None when blob store and Redis answer, else the error."""
        return self._parts.blobs.ready() or self._parts.dedup.ready()

    def close(self) -> None:
        """End the fetcher and the decoding processes too: the stage is their only user."""
        self._arrivals.close()

    def _keep_texts(
        self, inputs: Sequence[IngestInput], copies: Mapping[int, Reject]
    ) -> dict[int, IngestedPair]:
        """Remember the alt texts of copies, except those that stand at too many images.

        Returns the kept pairs that come once more for a new text, by the copy's index.
        """
        pairs = {at: inputs[at].pair for at in copies}
        common = self._claims.common([pair.clean_text for pair in pairs.values()])
        refused = {
            at: RefusedCopy(pair, copies[at])
            for (at, pair), much in zip(pairs.items(), common, strict=True)
            if not much
        }
        store, listed = self._parts.copies, [*refused.values()]
        owners = store.remember(listed)
        if not self._policy.dedup.later_texts or not any(owners):
            return {}
        again = zip(refused, store.once_more(listed, owners), strict=True)
        return {at: pair for at, pair in again if pair is not None}

    def _noise(self) -> bytes:
        from PIL import Image

        rules, file = self._policy.image, BytesIO()
        side = max(256, rules.min_side)
        Image.effect_noise((side, side), 64).save(file, rules.formats[0])
        return file.getvalue()

    def _finished(
        self,
        pair: IngestedPair,
        image: SketchedImage,
        origin: Position,
        uses: int | None,
        seconds: float,
    ) -> IngestedPair:
        """The pair with its image, claims and trace. A text of too many images is dropped."""
        trace = self._tracer.trace(seconds, text_steps_id=steps_id())
        changes: dict[str, Any] = {
            "image": image.reference(),
            "opt_out": (*pair.opt_out, *image.opt_out)[:LIST_ITEMS],
            "dedup": DedupInfo(owner=str(origin), text_uses=uses),
            "provenance": Provenance().then(trace),
        }
        if uses is not None and uses > self._policy.dedup.text_uses:
            changes |= {"clean_text": "", "text_notes": (*pair.text_notes, Note.REPEATED.value)}
        return pair.model_copy(update=changes)
