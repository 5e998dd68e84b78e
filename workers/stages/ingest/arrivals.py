"""Gets a record's image and stores it. Every delivery of the record gets the same image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from kaption.objectstore.blobs import BlobStore
from kaption.schemas import BlobRef, ImageSource, RawPair, Reason
from kaption.schemas.limits import LIST_ITEMS
from kaption.workers.checks.check import NO_MASKS, Masks
from kaption.workers.decode.decoded import Decoded
from kaption.workers.decode.likeness import index_hash, packed
from kaption.workers.decode.pool import DecodePool
from kaption.workers.fetch.fetcher import Fetcher
from kaption.workers.runtime.stage import Incoming, Reject
from kaption.workers.safety.documents import NO_DOCUMENTS, DocumentCheck
from kaption.workers.safety.image_check import ImageCheck
from kaption.workers.safety.policy import SafetyPolicy
from kaption.workers.stages.ingest.addresses import Addresses
from kaption.workers.stages.ingest.opt_outs import UNREADABLE, OptOuts, Signals
from kaption.workers.stores.answers import Answer, Answers, Refusal, SketchedImage
from kaption.workers.stores.copy_texts import CopyTexts
from kaption.workers.stores.dedup import Dedup
from kaption.workers.stores.footprint import HASH
from kaption.workers.stores.takedowns import TakedownList
from kaption.workers.text.language import LanguageDetector

_JPEG = "image/jpeg"
_BLOB_WRITERS = 8
"""Threads that write a batch's blobs. A store takes one to some tens of milliseconds for a blob."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A decoded image that is not claimed yet."""

    image: SketchedImage
    jpeg: bytes | None
    """The image as it is to be stored; None: an earlier delivery of the record has stored it."""


@dataclass(frozen=True, slots=True)
class IngestParts:
    """What ingest works with. The stage closes the fetcher and the decoder."""

    fetcher: Fetcher
    decoder: DecodePool
    blobs: BlobStore
    dedup: Dedup
    answers: Answers
    copies: CopyTexts
    takedowns: TakedownList
    languages: LanguageDetector
    safety: SafetyPolicy = field(default_factory=SafetyPolicy)
    masks: Masks = NO_MASKS
    documents: DocumentCheck = NO_DOCUMENTS
    image_checks: Sequence[ImageCheck] = ()
    """They see an image in this order, before anything of it is stored."""


class Arrivals:
    """Gets images, and stores them before ingest claims them.

    A URL may give something else when its record is delivered again. If ingest then rejected the
    record or claimed another image, it would lose the first image: copies of it were rejected as
    duplicates of a record that never comes out. Releasing the claim would come too late for those
    copies. Therefore the first answer for an origin is remembered before anything is claimed, and
    it counts for every delivery and every worker. A refusal is remembered too, because another
    worker may have fetched an image for the same record. Inline bytes and blobs never change.
    """

    def __init__(self, parts: IngestParts, opt_outs: OptOuts, max_bytes: int) -> None:
        self._parts = parts
        self._opt_outs = opt_outs
        self._max_bytes = max_bytes
        self._addresses = Addresses()
        self._writers = ThreadPoolExecutor(_BLOB_WRITERS, "blob-writer")  # no thread as yet

    def get(self, message: Incoming[RawPair]) -> Arrived:
        """The remembered image of the record, else the fetched and decoded one.

        Any thread may call it. Raises Reject, Later, Retry, and Fatal when no decoder starts.
        """
        if message.record.image.url is None:
            return self._delivered(message.record, message.record.image)
        answer = self._parts.answers.get(message.origin, message.position)
        if answer is None:
            try:
                return self._addresses.first(message, self._delivered)
            except Reject as reject:
                (answer,) = self._first([message], [reject])
        if isinstance(answer, Refusal):
            raise _reject(answer)
        return Arrived(answer, None)

    def keep(
        self,
        messages: Sequence[Incoming[RawPair]],
        arrived: Sequence[Arrived],
        rejected: Mapping[int, Reject],
    ) -> list[SketchedImage | Reject]:
        """Store a batch's images, except those at the indices in `rejected`.

        Returns the image or the rejection that counts for each record. For a URL this may be the
        answer that another worker got first. Raises Retry.
        """
        new = [
            one.jpeg
            for at, one in enumerate(arrived)
            if one.jpeg is not None and at not in rejected
        ]
        # list() waits for all writes and raises the first error.
        list(self._writers.map(lambda jpeg: self._parts.blobs.put(jpeg, _JPEG), new))
        settled = [rejected.get(at, one.image) for at, one in enumerate(arrived)]
        fetched = [at for at, one in enumerate(arrived) if one.jpeg is not None and one.image.url]
        answers = self._first([messages[at] for at in fetched], [settled[at] for at in fetched])
        for at, answer in zip(fetched, answers, strict=True):
            settled[at] = _reject(answer) if isinstance(answer, Refusal) else answer
        return settled

    def close(self) -> None:
        """End the decoding processes and the fetcher too: nobody else uses them."""
        self._parts.fetcher.close()
        self._parts.decoder.close()
        self._writers.shutdown()

    def _delivered(self, record: RawPair, source: ImageSource) -> Arrived:
        data, url, said = self._bytes(source, record.page_url)
        decoded = self._parts.decoder.decode(data)
        for kind in decoded.unreadable:
            UNREADABLE.labels(kind).inc()
        self._opt_outs.refuse(decoded.opt_out)
        for check in self._parts.image_checks:
            decoded = check.seen(data, decoded)
        image = _image_ref(decoded, url, record.image.url)
        opt_out = (*said, *decoded.opt_out)[:LIST_ITEMS]
        return Arrived(image.model_copy(update={"opt_out": opt_out}), decoded.jpeg)

    def _bytes(
        self, source: ImageSource, page_url: str | None
    ) -> tuple[bytes, str | None, Signals]:
        """The image's bytes; if they were fetched, the URL after redirects and opt-outs there.

        Raises Reject (opted_out, fetch_*, too_large, blob_missing), Later, Retry.
        """
        if source.inline is not None:
            return source.inline, None, ()
        if source.url is not None:
            self._opt_outs.refuse_known(source.url)
            fetched = self._parts.fetcher.fetch(source.url, page_url)
            return fetched.data, fetched.final_url, self._opt_outs.of_answers(fetched)
        assert source.blob is not None  # exactly one is given
        self._refuse_large(source.blob.bytes)
        try:
            data = self._parts.blobs.get(source.blob)
        except KeyError as error:
            raise Reject(Reason.BLOB_MISSING, source.blob.sha256) from error
        # The size in the reference is only the crawler's claim.
        self._refuse_large(len(data))
        return data, None, ()

    def _refuse_large(self, size: int) -> None:
        if size > self._max_bytes:
            raise Reject(Reason.TOO_LARGE, f"blob of {size} bytes")

    def _first(
        self, messages: Sequence[Incoming[RawPair]], found: Sequence[SketchedImage | Reject]
    ) -> list[Answer]:
        return self._parts.answers.first(
            [message.origin for message in messages],
            [message.position for message in messages],
            [
                Refusal(reason=one.reason, detail=one.detail, delivery=str(message.position))
                if isinstance(one, Reject)
                else one
                for message, one in zip(messages, found, strict=True)
            ],
        )


def _reject(refusal: Refusal) -> Reject:
    return Reject(refusal.reason, refusal.detail)


def _image_ref(decoded: Decoded, url: str | None, crawled_url: str | None) -> SketchedImage:
    drawn = None if decoded.sketch is None else bytes.fromhex(decoded.sketch)
    redirected = crawled_url is not None and crawled_url.partition("#")[0] != url
    return SketchedImage(
        blob=BlobRef(sha256=decoded.sha256, bytes=len(decoded.jpeg), media_type=_JPEG),
        width=decoded.width,
        height=decoded.height,
        original_sha256=decoded.original_sha256,
        original_width=decoded.original_width,
        original_height=decoded.original_height,
        original_bytes=decoded.original_bytes,
        original_format=decoded.original_format,
        url=url,
        crawled_url=crawled_url if redirected else None,
        faces=decoded.faces,
        faces_blurred=decoded.faces_blurred,
        nsfw=decoded.nsfw,
        document=decoded.document,
        perceptual_hash=None if drawn is None else f"{HASH}{index_hash(drawn):016x}",
        sketch=None if drawn is None else packed(drawn),
    )
