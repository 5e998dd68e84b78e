"""Records and blobs for the tests of the model stages."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import redis

from kaption.objectstore.blobs import BlobStore, blob_key
from kaption.objectstore.folder import FolderStore
from kaption.schemas import BlobRef, IngestedPair, Takedown, Versioned
from kaption.testing.records import image_ref, incoming, ingested_pair, store_image
from kaption.workers.runtime.stage import Incoming
from kaption.workers.stores.takedowns import TakedownList

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
R = TypeVar("R", bound=Versioned)


class FolderBlobs(BlobStore):
    """Blobs in a folder. It can damage blobs and counts reads."""

    def __init__(self, folder: Path) -> None:
        super().__init__(FolderStore(folder))
        self._folder = folder
        self.reads = 0

    def put(self, data: bytes, media_type: str = "image/jpeg") -> BlobRef:
        return super().put(data, media_type)

    def get(self, ref: BlobRef) -> bytes:
        self.reads += 1
        return super().get(ref)

    def overwrite(self, ref: BlobRef, data: bytes) -> None:
        (self._folder / blob_key(ref.sha256)).write_bytes(data)

    def clear(self) -> None:
        for path in self._folder.rglob("*"):
            if path.is_file():
                path.unlink()


def stored(blobs: FolderBlobs, seed: int) -> BlobRef:
    """A small image of its own for each seed, as ingest stores it."""
    return store_image(blobs, seed, 72, 48).blob


def ingested(ref: BlobRef, text: str, pair_id: str = "pair") -> IngestedPair:
    """What ingest emits for a stored image."""
    image = image_ref(ref, width=72, height=48, original_width=72, original_height=48)
    return ingested_pair(pair_id=pair_id, text=text, clean_text=text, image=image)


def taken_down(url: str, *takedowns: Takedown) -> TakedownList:
    """The takedown list of a dataset with these takedowns."""
    ids = {takedown.takedown_id for takedown in takedowns}
    return TakedownList(redis.Redis.from_url(url), "t:", lambda known: ids)


def message(record: R, offset: int = 0) -> Incoming[R]:
    """One input record, by default at the beginning of its partition."""
    return incoming(record, offset)
