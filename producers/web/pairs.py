"""Makes raw pairs of a page: each image with the best text that the page has for it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from datetime import datetime
from itertools import chain, islice
from typing import Any

from kaption.producers.web.addresses import image_of
from kaption.producers.web.document import Document, Element, cut, declared_side
from kaption.producers.web.licences import Licences
from kaption.producers.web.open_graph import page_texts, shared_images
from kaption.producers.web.opt_out import opt_out_signals
from kaption.producers.web.tdm_rep import TdmRep
from kaption.producers.web.texts import IMAGES, Texts
from kaption.schemas.limits import TEXT_CHARS, URL_CHARS

EXTRA_TEXT_CHARS = 500
"""Most characters of each text in `extra`, so that all together stay within its limit."""
PAGE_IMAGES = 1_000
"""Most images that are read of one page: it bounds what a hostile page can cost."""
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
    """The fields of a RawPair for each image with a text, as plain JSON values. Never raises.

    `url` is the page's address after redirects, `headers` are those of its response, `agents` the
    crawler's names (see `opt_out_signals`), and `fetched_at` is a time with its zone.

    Images without any text are left out, as are images that the page calls decorative or declares
    smaller than `min_side` pixels. An image that is on the page twice comes once, with the better
    text. If an image has several sizes, the largest is taken; if URLs of some sizes are in
    `archived`, the largest of these.

    `extra` holds `texts`, all texts that were found, and `text_source`, which of them is `text`:
    `alt`, `figcaption`, `aria`, `title`, `nearby`, `og:image:alt`, `og:title`, `og:description`.
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
        # The image's own width counts first: a page may show a large image small.
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
