"""Builders of records: each makes a valid one, and takes any of its fields to change it.

`number` tells records apart: it is in the pair's id, its texts, its origin and its image's hash.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, TypeVar

from kaption.objectstore.blobs import BlobStore
from kaption.schemas import (
    BlobRef,
    Caption,
    CaptionedPair,
    CaptionKind,
    CleanPair,
    DedupInfo,
    ImageRef,
    ImageSource,
    IngestedPair,
    Position,
    RawPair,
    Route,
    ScoredPair,
    Versioned,
)
from kaption.schemas.topics import RAW
from kaption.workers.runtime.stage import Incoming

R = TypeVar("R", bound=Versioned)


def blob_ref(number: int = 0, **changed: Any) -> BlobRef:
    """Names a JPEG that is in no store."""
    sha256 = hashlib.sha256(b"%d" % number).hexdigest()
    fields: dict[str, Any] = {"sha256": sha256, "bytes": 1000, "media_type": "image/jpeg"}
    return BlobRef(**fields | changed)


def image_ref(blob: BlobRef, **changed: Any) -> ImageRef:
    """A blob as ingest describes it: 640 x 480 pixels, delivered as 1280 x 960."""
    fields: dict[str, Any] = {
        "blob": blob,
        "width": 640,
        "height": 480,
        "original_sha256": blob.sha256,
        "original_width": 1280,
        "original_height": 960,
        "original_bytes": blob.bytes,
        "original_format": "JPEG",
    }
    return ImageRef(**fields | changed)


def jpeg(number: int = 0, width: int = 256, height: int = 192) -> bytes:
    """Coloured patches as a JPEG. Other numbers give images that are no near-duplicates."""
    from PIL import Image

    patches = random.Random(number).randbytes(6 * 6 * 3)  # noqa: S311 - an image, no secret
    file = BytesIO()
    Image.frombytes("RGB", (6, 6), patches).resize((width, height)).save(file, "JPEG")
    return file.getvalue()


def store_image(blobs: BlobStore, number: int = 0, width: int = 256, height: int = 192) -> ImageRef:
    """Put `jpeg(number)` into the store, as ingest does, and describe it."""
    blob = blobs.put(jpeg(number, width, height), "image/jpeg")
    return image_ref(blob, width=width, height=height, original_width=width, original_height=height)


def caption(text: str, kind: CaptionKind = CaptionKind.VLM, **changed: Any) -> Caption:
    """A caption of a model, without a score."""
    return Caption(text=text, kind=kind, **changed)


def raw_pair(number: int = 0, **changed: Any) -> RawPair:
    """What a crawler publishes; the image is a URL."""
    image = ImageSource(url=f"https://cdn.example/{number}.jpg")
    return RawPair(**_pair(number) | {"image": image} | changed)


def ingested_pair(number: int = 0, **changed: Any) -> IngestedPair:
    """What ingest emits; the image is in no store unless `image` comes from `store_image`."""
    return IngestedPair(**_ingested(number) | changed)


def scored_pair(number: int = 0, **changed: Any) -> ScoredPair:
    """What score emits for an alt text that is too weak."""
    return ScoredPair(**_scored(number) | changed)


def captioned_pair(number: int = 0, *candidates: Caption | str, **changed: Any) -> CaptionedPair:
    """What recaption emits; a text among `candidates` becomes a caption of a model."""
    fields = _scored(number) | {"candidates": _captions(candidates)}
    return CaptionedPair(**fields | changed)


def clean_pair(number: int = 0, *captions: Caption | str, **changed: Any) -> CleanPair:
    """What select emits; a text among `captions` becomes a caption of a model.

    Without captions it has one: "a dog on grass".
    """
    fields = _ingested(number) | {"captions": _captions(captions or ("a dog on grass",))}
    return CleanPair(**fields | changed)


def record_of(kind: type[Versioned], number: int = 0, **changed: Any) -> Any:
    """A record of that type; raises KeyError where there is no builder for it."""
    return BUILDERS[kind](number, **changed)


def incoming(record: R, offset: int = 0, partition: int = 0, topic: str = RAW.name) -> Incoming[R]:
    """The record as a stage gets it; it entered pairs.raw at the same partition and offset."""
    return Incoming(
        record, Position(RAW.name, partition, offset), Position(topic, partition, offset)
    )


BUILDERS: Mapping[type[Versioned], Callable[..., Versioned]] = {
    RawPair: raw_pair,
    IngestedPair: ingested_pair,
    ScoredPair: scored_pair,
    CaptionedPair: captioned_pair,
    CleanPair: clean_pair,
}
"""The builders of records, by the type of record."""


def _pair(number: int) -> dict[str, Any]:
    return {"pair_id": f"pair-{number}", "text": f"alt text {number}"}


def _ingested(number: int) -> dict[str, Any]:
    return _pair(number) | {
        "clean_text": f"alt text {number}",
        "image": image_ref(blob_ref(number)),
        "dedup": DedupInfo(owner=f"{RAW.name}/0/{number}"),
    }


def _scored(number: int) -> dict[str, Any]:
    return _ingested(number) | {
        "original": caption(f"alt text {number}", CaptionKind.ORIGINAL),
        "route": Route.NEEDS_CAPTION,
    }


def _captions(given: tuple[Caption | str, ...]) -> tuple[Caption, ...]:
    return tuple(caption(each) if isinstance(each, str) else each for each in given)
