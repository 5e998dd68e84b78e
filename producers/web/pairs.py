"""From a page to raw pairs: each image with the best text the page gives it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from datetime import datetime
from itertools import chain, islice
from typing import Any

from kaption.producers.web.addresses import image_of
from kaption.producers.web.document import Document, Element, cut
from kaption.producers.web.licences import Licences
from kaption.producers.web.open_graph import page_texts, shared_images
from kaption.producers.web.opt_out import opt_out_signals
from kaption.producers.web.sizes import declared_side
from kaption.producers.web.tdm_rep import TdmRep
from kaption.producers.web.texts import IMAGES, Texts
from kaption.schemas.limits import TEXT_CHARS, URL_CHARS

EXTRA_TEXT_CHARS = 500
"""Of each text in `extra`; all of them together stay within its limit."""
PAGE_IMAGES = 1_000
"""More of one page are not looked at: it bounds what a hostile page can cost."""
_TRUST = ("alt", "figcaption", "og:image:alt", "aria", "title", "og:title", "og:description")


def image_pairs(
    html: str,
    url: str,
    *,
    headers: Iterable[tuple[str, str]] = (),
    tdm_rep: TdmRep | None = None,
    agents: Iterable[str] = (),
    fetched_at: datetime | None = None,
    min_side: int = 64,
    archived: Container[str] = (),
) -> list[dict[str, Any]]:
    """The fields of a RawPair for each image with a text, as plain JSON values; never raises.

    `url` is the page's own, after redirects; `headers` are those of its response; `agents` are the
    crawler's names, see `opt_out_signals`. Left out are images without any text, those the page
    calls decorative, and those it declares smaller than `min_side` pixels. An image that stands on
    the page twice comes once, with its better text. Of one that is offered in several sizes the
    largest is taken, or of those whose URLs are in `archived`, if any are.

    `extra` holds `text_source`, where `text` was found, and `texts`, all that were found:
    `alt`, `figcaption`, `aria`, `title`, `nearby`, `og:image:alt`, `og:title`, `og:description`.
    `fetched_at` is a time with its zone.
    """
    document = Document(html, url)
    page: dict[str, Any] = {"page_url": url} if 0 < len(url) <= URL_CHARS else {}
    if fetched_at is not None:
        page["fetched_at"] = fetched_at.isoformat()
    signals = opt_out_signals(document, headers, tdm_rep, agents)
    if signals:
        page["opt_out"] = [signal.model_dump(mode="json") for signal in signals]
    best: dict[str, dict[str, Any]] = {}
    licences = Licences(document)
    embedded = _embedded(document, licences, min_side, archived)
    for pair in chain(embedded, _shared(document, licences, min_side)):
        key = next(iter(pair["image"].values()))
        if key not in best or _trust(pair) > _trust(best[key]):
            best[key] = pair
    return [page | pair for pair in best.values()]


def _embedded(
    document: Document, licences: Licences, min_side: int, archived: Container[str]
) -> Iterator[dict[str, Any]]:
    found = Texts(document)
    for img in islice(document.root.iter(*IMAGES), PAGE_IMAGES):
        image = image_of(img, document, archived, min_side)
        if image is None:
            continue
        # A large image may be shown small: then its own width counts.
        side = image.width or declared_side(img)
        if side is not None and side < min_side:
            continue
        texts = found.of(img)
        if texts:
            yield _pair(image.image, texts, document, img, licences)


def _shared(document: Document, licences: Licences, min_side: int) -> Iterator[dict[str, Any]]:
    of_page = page_texts(document)
    for shared in islice(shared_images(document), PAGE_IMAGES):
        url = document.absolute(shared.address)
        texts = ({"og:image:alt": shared.alt} if shared.alt else {}) | of_page
        if url is not None and texts and min(shared.sides, default=min_side) >= min_side:
            yield _pair({"url": url}, texts, document, None, licences)


def _pair(
    image: dict[str, str],
    texts: dict[str, str],
    document: Document,
    img: Element | None,
    licences: Licences,
) -> dict[str, Any]:
    source, text = next(iter(texts.items()))
    found = {
        "image": image,
        "text": cut(text, TEXT_CHARS),
        "language": document.language(document.root if img is None else img),
        "licence": licences.of(img),
        "extra": {
            "text_source": source,
            "texts": {name: cut(each, EXTRA_TEXT_CHARS) for name, each in texts.items()},
        },
    }
    return {name: value for name, value in found.items() if value is not None}


def _trust(pair: dict[str, Any]) -> int:
    source = pair["extra"]["text_source"]
    return -_TRUST.index(source) if source in _TRUST else -len(_TRUST)
