"""References to images: what a crawler may give, and what every stage after ingest carries."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from kaption.schemas.limits import INLINE_IMAGE_BYTES, Name, Sha256, Url
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
    bytes: Annotated[int, Field(ge=0)]
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
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    original_sha256: Sha256
    original_width: Annotated[int, Field(ge=1)]
    original_height: Annotated[int, Field(ge=1)]
    original_bytes: Annotated[int, Field(ge=1)]
    original_format: Name
    url: Url | None = None
    """The URL after redirects. Absent where the image was not fetched from a URL."""
    crawled_url: Url | None = None
    """The URL that the crawler gave, if it redirected to `url`."""
    perceptual_hash: Annotated[str, Field(pattern=r"^[a-z0-9]+:[0-9a-f]{16}$")] | None = None
    """``algorithm:hex`` of 64 bits, such as ``simhash:ff00...``. Older records have ``dhash:``.

    Absent where the image has too little structure to be hashed."""
