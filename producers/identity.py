"""The identity of a pair: crawling the same image on the same page again gives the same id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from kaption.schemas import ImageSource, RawPair


def pair_id(source: str | None, page_url: str | None, image: ImageSource) -> str:
    """A pair_id of 32 hexadecimal digits: the first half of a sha256.

    It is made of `source`, `page_url` and the image's URL, or the sha256 of the image's bytes,
    inline or in the blob store alike. URLs are not normalised: two spellings that mean the same
    page to one server mean two pages to another.
    """
    if image.inline is not None:
        content = hashlib.sha256(image.inline).hexdigest()
    else:
        content = image.blob.sha256 if image.blob else ""
    # JSON, so that no two different lists of parts give the same text.
    parts = json.dumps([source or "", page_url or "", image.url or "", content])
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def identified(fields: Mapping[str, Any]) -> RawPair:
    """A RawPair of the fields; derives a missing `pair_id`. Raises pydantic's ValidationError."""
    given = fields.get("pair_id") is not None
    pair = RawPair.model_validate(fields if given else {**fields, "pair_id": "derived"})
    if given:
        return pair
    return pair.model_copy(update={"pair_id": pair_id(pair.source, pair.page_url, pair.image)})
