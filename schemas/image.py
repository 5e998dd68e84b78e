"""References to images: what a crawler may give, and what every stage after ingest carries."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from kaption.schemas.evidence import Face
from kaption.schemas.limits import (
    ALTERNATIVES,
    INLINE_IMAGE_BYTES,
    LIST_ITEMS,
    Count,
    Name,
    Sha256,
    Url,
    Whole,
)
from kaption.schemas.record import Record


def _from_base64(value: object) -> object:
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"not standard base64: {error}") from error
    return value


Base64 = Annotated[
    bytes,
    BeforeValidator(_from_base64),
    PlainSerializer(lambda data: base64.b64encode(data).decode(), when_used="json"),
]
"""Bytes that are standard, padded base64 (RFC 4648) in JSON."""


def base64_schema(max_bytes: int) -> WithJsonSchema:
    """The JSON Schema of `Base64`. Its limit counts characters: four for every three bytes."""
    return WithJsonSchema(
        {
            "type": "string",
            "contentEncoding": "base64",
            "maxLength": 4 * ((max_bytes + 2) // 3),
            "description": f"Standard, padded base64 of at most {max_bytes} bytes.",
        }
    )


class BlobRef(Record):
    """Content in the blob store, under the sha256 of its bytes."""

    sha256: Sha256
    bytes: Whole
    """Size in bytes."""
    media_type: Name = "application/octet-stream"


def _exactly_one(schema: dict[str, Any]) -> None:
    schema["oneOf"] = [
        {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
        for name in ("url", "inline", "blob")
    ]


class ImageSource(Record, json_schema_extra=_exactly_one):
    """The image of a raw pair: exactly one of a URL, inline bytes, or a blob reference."""

    url: Url | None = None
    alternatives: Annotated[tuple[Url, ...], Field(max_length=ALTERNATIVES)] = ()
    """Other URLs of the image at `url`, the best first, such as smaller sizes of a `srcset`. Ingest
    tries them where `url` gives no usable image."""
    inline: (
        Annotated[Base64, Field(max_length=INLINE_IMAGE_BYTES), base64_schema(INLINE_IMAGE_BYTES)]
        | None
    ) = None
    blob: BlobRef | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in ("url", "inline", "blob") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of url, inline, blob; got {given or 'none'}")
        return self


class ImageRef(Record):
    """A stored image, and the original that it was made from.

    The stored image is an RGB JPEG, turned upright by its EXIF orientation and scaled down to the
    configured longest side. Fields `original_*` describe the bytes that the crawler delivered.
    Widths and heights are in pixels, after rotation.
    """

    blob: BlobRef
    width: Count
    height: Count
    original_sha256: Sha256
    original_width: Count
    original_height: Count
    original_bytes: Count
    original_format: Name
    url: Url | None = None
    """The URL after redirects. Absent where the image was not fetched from a URL."""
    crawled_url: Url | None = None
    """The URL that the crawler gave, if another one gave the image: after redirects, or one of the
    source's `alternatives`."""
    faces: Annotated[tuple[Face, ...], Field(max_length=LIST_ITEMS)] | None = None
    """Faces in the stored image, the surest first. Absent where nobody looked for faces."""
    faces_blurred: bool = False
    """Nothing of these faces is left in the stored image but a few cells of colour."""
    nsfw: Annotated[float, Field(ge=0, le=1)] | None = None
    """How likely the stored image is pornographic. Absent where no model was asked."""
    document: Annotated[float, Field(ge=0, le=1)] | None = None
    """How likely the image shows an identity document, a driving licence or a CV. Absent where
    nobody looked."""
    perceptual_hash: Annotated[str, Field(pattern=r"^[a-z0-9]+:[0-9a-f]{16}$")] | None = None
    """``algorithm:hex`` of 64 bits, such as ``simhash2:ff00...``. Older records have ``simhash:``
    or ``dhash:``.

    Absent where the image has too little structure to be hashed."""
