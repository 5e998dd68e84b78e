"""The identity of a pair: crawling the same image on the same page again gives the same id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from kaption.schemas import ImageSource, RawPair
from kaption.schemas.lenient import pair_id_of, read_raw_pair
from kaption.schemas.limits import NAME_CHARS
from kaption.schemas.odd_values import empty
from kaption.schemas.plain_json import whole_characters

_DERIVED = "derived"


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
    """A RawPair of the fields, as `read_raw_pair` reads them.

    Derives a `pair_id` that is missing or none. Raises ValueError.
    """
    given = pair_id_of(fields.get("pair_id"))
    if isinstance(given, str) and 0 < len(given) <= NAME_CHARS and given == whole_characters(given):
        return read_raw_pair({**fields, "pair_id": given})
    known = {**fields, "pair_id": _DERIVED}
    if not empty(given):
        # An unknown field, which goes to `extra`.
        known["pair_id_given"] = given
        noted = known.get("not_understood")
        known["not_understood"] = [*(noted if isinstance(noted, (list, tuple)) else ()), "pair_id"]
    pair = read_raw_pair(known)
    return pair.model_copy(update={"pair_id": pair_id(pair.source, pair.page_url, pair.image)})
