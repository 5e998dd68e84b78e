"""The preview images of a page when it is shared: og:image of the Open Graph protocol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kaption.producers.web.document import Document, pixels


@dataclass(slots=True)
class SharedImage:
    """One og:image with its properties, which follow it in the page."""

    address: str
    alt: str = ""
    sides: list[int] = field(default_factory=list)
    """Declared width and height in pixels."""


def shared_images(document: Document) -> list[SharedImage]:
    """Each og:image in turn."""
    found: list[SharedImage] = []
    for name, content in _properties(document):
        if name in ("og:image", "og:image:url"):
            found.append(SharedImage(content))
        elif found and name == "og:image:alt":
            found[-1].alt = content
        elif found and name in ("og:image:width", "og:image:height"):
            side = pixels(content)
            if side is not None:
                found[-1].sides.append(side)
    return found


def page_texts(document: Document) -> dict[str, str]:
    """The first og:title and the first og:description."""
    found: dict[str, str] = {}
    for name, content in _properties(document):
        if name in ("og:title", "og:description"):
            found.setdefault(name, content)
    return found


def _properties(document: Document) -> Iterator[tuple[str, str]]:
    for meta in document.root.iter("meta"):
        # The protocol says `property`; many pages say `name`.
        name = (meta.get("property") or meta.get("name") or "").strip().lower()
        content = " ".join((meta.get("content") or "").split())
        if name.startswith("og:") and content:
            yield name, content
