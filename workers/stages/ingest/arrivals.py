"""Gets a record's image and stores it. Every delivery of the record gets the same image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from kaption.objectstore.blobs import BlobStore
from kaption.schemas import BlobRef, ImageSource, RawPair, Reason
from kaption.workers.decode.decoded import Decoded
from kaption.workers.decode.likeness import index_hash, packed
from kaption.workers.decode.pool import DecodePool
from kaption.workers.fetch.fetcher import Fetcher
from kaption.workers.runtime.stage import Incoming, Reject
from kaption.workers.stores.answers import Answer, Answers, Refusal, SketchedImage
from kaption.workers.stores.footprint import HASH


def delivered_bytes(
    source: ImageSource, fetcher: Fetcher, blobs: BlobStore, max_bytes: int
) -> tuple[bytes, str | None]:
    """The image's bytes, and the URL after redirects if they were fetched.

    Raises Reject (fetch_*, too_large, blob_missing), Retry.
    """
    if source.inline is not None:
        return source.inline, None
    if source.url is not None:
        fetched = fetcher.fetch(source.url)
        return fetched.data, fetched.final_url
    assert source.blob is not None  # exactly one is given
    _refuse_large(source.blob.bytes, max_bytes)
    try:
        data = blobs.get(source.blob)
    except KeyError as error:
        raise Reject(Reason.BLOB_MISSING, source.blob.sha256) from error
    # The size in the reference is only the crawler's claim.
    _refuse_large(len(data), max_bytes)
    return data, None


def _refuse_large(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise Reject(Reason.TOO_LARGE, f"blob of {size} bytes")


_JPEG = "image/jpeg"
_BLOB_WRITERS = 8
"""Threads that write a batch's blobs. A store takes one to some tens of milliseconds for a blob."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A decoded image that is not claimed yet."""

    image: SketchedImage
    jpeg: bytes | None
    """None: an earlier delivery of the record has stored it."""


class Arrivals:
    """Gets images, and stores them before ingest claims them.

    A URL may give something else when its record is delivered again. If ingest then rejected the
    record or claimed another image, it would lose the first image: copies of it were rejected as
    duplicates of a record that never comes out. Releasing the claim would come too late for those
    copies. Therefore the first answer for an origin is remembered before anything is claimed, and
    it counts for every delivery and every worker. A refusal is remembered too, because another
    worker may have fetched an image for the same record. Inline bytes and blobs never change.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        decoder: DecodePool,
        blobs: BlobStore,
        answers: Answers,
        max_bytes: int,
    ) -> None:
        self._fetcher = fetcher
        self._decoder = decoder
        self._blobs = blobs
        self._answers = answers
        self._max_bytes = max_bytes

    def setup(self) -> None:
        """Start the threads that write blobs. Call it before `keep`."""
        self._writers = ThreadPoolExecutor(_BLOB_WRITERS, "blob-writer")

    def get(self, message: Incoming[RawPair]) -> Arrived:
        """The remembered image of the record, else the fetched and decoded one.

        Any thread may call it. Raises Reject, Retry, and Fatal when no decoder can be started.
        """
        if message.record.image.url is None:
            return self._delivered(message.record)
        answer = self._answers.get(message.origin, message.position)
        if answer is None:
            try:
                return self._delivered(message.record)
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
        list(self._writers.map(lambda jpeg: self._blobs.put(jpeg, _JPEG), new))
        settled = [rejected.get(at, one.image) for at, one in enumerate(arrived)]
        fetched = [at for at, one in enumerate(arrived) if one.jpeg is not None and one.image.url]
        answers = self._first([messages[at] for at in fetched], [settled[at] for at in fetched])
        for at, answer in zip(fetched, answers, strict=True):
            settled[at] = _reject(answer) if isinstance(answer, Refusal) else answer
        return settled

    def ready(self) -> str | None:
        """None when blob store and Redis answer, else the error."""
        return self._blobs.ready() or self._answers.ready()

    def close(self) -> None:
        """End the decoding processes and the fetcher too: nobody else uses them."""
        self._fetcher.close()
        self._decoder.close()
        if hasattr(self, "_writers"):
            self._writers.shutdown()

    def _delivered(self, record: RawPair) -> Arrived:
        data, url = delivered_bytes(record.image, self._fetcher, self._blobs, self._max_bytes)
        decoded = self._decoder.decode(data)
        return Arrived(_image_ref(decoded, url, record.image.url), decoded.jpeg)

    def _first(
        self, messages: Sequence[Incoming[RawPair]], found: Sequence[SketchedImage | Reject]
    ) -> list[Answer]:
        return self._answers.first(
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
    small = None if decoded.sketch is None else packed(bytes.fromhex(decoded.sketch))
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
        perceptual_hash=None if small is None else f"{HASH}{index_hash(small):016x}",
        sketch=small,
    )
