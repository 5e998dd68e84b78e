"""The identity of a pair: the same crawl of the same image on the same page, again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from kaption.schemas import ImageSource, RawPair


def pair_id(source: str | None, page_url: str | None, image: ImageSource) -> str:
    """32 hexadecimal digits, the first half of a sha256.

    An image counts as its URL, or as the sha256 of its bytes, whether these are inline or in the
    blob store. URLs are taken as they are: what one server holds for the same, another does not.
    """
    if image.inline is not None:
        content = hashlib.sha256(image.inline).hexdigest()
    else:
        content = image.blob.sha256 if image.blob else ""
    # JSON keeps the parts apart whatever they contain.
    parts = json.dumps([source or "", page_url or "", image.url or "", content])
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def identified(fields: Mapping[str, Any]) -> RawPair:
    """A raw pair; a missing `pair_id` is derived. Raises pydantic's ValidationError."""
    given = fields.get("pair_id") is not None
    pair = RawPair.model_validate(fields if given else {**fields, "pair_id": "derived"})
    if given:
        return pair
    return pair.model_copy(update={"pair_id": pair_id(pair.source, pair.page_url, pair.image)})
