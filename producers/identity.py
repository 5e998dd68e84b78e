"""The identity of a pair: the same crawl of the same image on the same page, again."""

from __future__ import annotations

import hashlib
import json

from schemas import ImageSource


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
