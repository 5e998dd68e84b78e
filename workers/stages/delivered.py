"""A picture's bytes as the crawler delivers them: inline, in the blob store, or behind a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from schemas import BlobRef, ImageSource, Reason
from workers.runtime.stage import Reject

if TYPE_CHECKING:
    from workers.images.decoded import Decoded
    from workers.images.fetch import Fetched


class Fetcher(Protocol):
    """Gets a body from a URL; `workers.images.fetch.Fetcher` does it."""

    def fetch(self, url: str) -> Fetched:
        """Blocks. Raises Reject."""

    def close(self) -> None:
        """End connections under way."""


class Decoder(Protocol):
    """Decodes untrusted bytes; `workers.images.decode_pool.DecodePool` does it."""

    def decode(self, data: bytes) -> Decoded:
        """Blocks while all processes are busy. Raises Reject, Fatal."""

    def close(self) -> None:
        """End the processes."""


class Blobs(Protocol):
    """Bytes under the sha256 of their content."""

    def get(self, ref: BlobRef) -> bytes:
        """The content. Raises KeyError where there is none, Retry when the store is down."""

    def put(self, data: bytes, media_type: str) -> BlobRef:
        """Store, once. Raises Retry when the store is down."""

    def ready(self) -> str | None:
        """None when the store answers, else what is wrong."""


def delivered_bytes(
    source: ImageSource, fetcher: Fetcher, blobs: Blobs, max_bytes: int
) -> tuple[bytes, str | None]:
    """The bytes, and the final URL if they were fetched.

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
    # The size in the reference is what the crawler says; only the one of the bytes is known.
    _refuse_large(len(data), max_bytes)
    return data, None


def _refuse_large(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise Reject(Reason.TOO_LARGE, f"blob of {size} bytes")
