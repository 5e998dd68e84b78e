"""Records and blobs that the tests of the model stages share."""

import hashlib
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
import redis
from PIL import Image

from kaption.schemas import (
    BlobRef,
    DedupInfo,
    ImageRef,
    IngestedPair,
    Position,
    Takedown,
    Versioned,
)
from kaption.workers.runtime.stage import Message
from kaption.workers.stores.takedowns import TakedownList

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
R = TypeVar("R", bound=Versioned)


class FolderBlobs:
    """Blobs in a folder, with the damage that tests want."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.reads = 0

    def put(self, data: bytes) -> BlobRef:
        ref = BlobRef(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
        self.overwrite(ref, data)
        return ref

    def get(self, ref: BlobRef) -> bytes:
        self.reads += 1
        try:
            return (self._folder / f"{ref.sha256}.blob").read_bytes()
        except FileNotFoundError as error:
            raise KeyError(ref.sha256) from error

    def overwrite(self, ref: BlobRef, data: bytes) -> None:
        (self._folder / f"{ref.sha256}.blob").write_bytes(data)

    def clear(self) -> None:
        for path in self._folder.glob("*.blob"):
            path.unlink()

    def ready(self) -> str | None:
        return None


def stored(blobs: FolderBlobs, seed: int) -> BlobRef:
    """A small picture of its own for each seed, as ingest stores it."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    file = BytesIO()
    Image.fromarray(noise).resize((72, 48)).save(file, "JPEG")
    return blobs.put(file.getvalue())


def ingested(ref: BlobRef, text: str, pair_id: str = "pair") -> IngestedPair:
    """What ingest emits for a stored picture."""
    return IngestedPair(
        pair_id=pair_id,
        text=text,
        clean_text=text,
        image=ImageRef(
            blob=ref,
            width=72,
            height=48,
            original_sha256=ref.sha256,
            original_width=72,
            original_height=48,
            original_bytes=ref.bytes,
            original_format="JPEG",
        ),
        dedup=DedupInfo(owner="pairs.raw/0/0"),
    )


def taken_down(url: str, *takedowns: Takedown) -> TakedownList:
    """The list of a dataset that has these."""
    ids = {takedown.takedown_id for takedown in takedowns}
    return TakedownList(redis.Redis.from_url(url), "t:", lambda known: ids)


def message(record: R) -> Message[R]:
    """One input record at the beginning of its partition."""
    position = Position("pairs.raw", 0, 0)
    return Message(record, position, position)
