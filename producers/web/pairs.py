"""Makes raw pairs of a page: each image with the best text that the page has for it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from datetime import datetime
from itertools import chain, islice
from typing import Any

from kaption.producers.web.addresses import FoundImage, addresses_of, chosen, settled
from kaption.producers.web.candidates import Kind
from kaption.producers.web.document import Document, Element, cut, declared_side
from kaption.producers.web.elements import PAGE_IMAGES, PageImages
from kaption.producers.web.metadata import SharedImage, shared_images
from kaption.producers.web.microdata import microdata_images
from kaption.producers.web.opt_out import opt_out_signals
from kaption.producers.web.placeholders import is_icon_class
from kaption.producers.web.srcset import Candidate
from kaption.producers.web.statements import Licences
from kaption.producers.web.texts import Texts
from kaption.schemas.limits import TEXT_CHARS, URL_CHARS
from kaption.schemas.opt_outs.tdm_rep import TdmRep

EXTRA_TEXT_CHARS = 500
"""Most characters of each text in `extra`, so that all together stay within its limit."""
_TRUST: tuple[str, ...] = (
    "alt",
    "figcaption",
    "ld:caption",
    "og:image:alt",
    "twitter:image:alt",
    "aria",
    "title",
)
_TRUST += ("ld:description", "ld:name", "og:title", "twitter:title", "og:description")
_TRUST += ("twitter:description",)


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

    Images without any text are left out, as are placeholders, icons, and images that the page calls
    decorative or declares smaller than `min_side` pixels. An image that is on the page twice comes
    once, with the better text. If an image has several sizes, the largest that ingest accepts is
    taken, and others are its `alternatives`; if URLs of some sizes are in `archived`, the largest
    of these is taken.

    `extra` holds `texts`, all texts that were found, and `text_source`, which of them is `text`:
    `alt`, `figcaption`, `aria`, `title`, `nearby`; `og:image:alt`, `og:title`, `og:description` and
    the same of `twitter:`; `ld:caption`, `ld:description` and `ld:name` of JSON-LD and
    microdata; `page:title` for the image of <link rel="image_src">.
    """
    document = Document(html, url)
    page: dict[str, Any] = {"page_url": url} if 0 < len(url) <= URL_CHARS else {}
    if fetched_at is not None:
        page["fetched_at"] = fetched_at.isoformat()
    signals = opt_out_signals(document, headers, tdm_rep, agents)
    if signals:
        page["opt_out"] = [each.model_dump(mode="json", exclude_none=True) for each in signals]
    licences = Licences(document)
    told = chain(shared_images(document), microdata_images(document))
    shared = list(islice(told, PAGE_IMAGES))
    for image in shared:
        licences.add(image.addresses, image.licence)
    embedded = _embedded(document, licences, min_side, archived)
    pairs = _merged(chain(embedded, _shared(shared, document, licences, min_side)))
    return [page | pair for pair in pairs]


def _embedded(
    document: Document, licences: Licences, min_side: int, archived: Container[str]
) -> Iterator[dict[str, Any]]:
    images = PageImages(document)
    texts = Texts(document, images)
    found = [
        (element, addresses, told)
        for element in images.elements
        if not is_icon_class(element.get("class") or "")
        and (addresses := addresses_of(element, document, images))
        and (told := texts.of(element))
    ]
    uses = _Uses()
    for _, addresses, told in found:
        uses.add(addresses, told)
    usable = [settled(uses.usable(addresses, told)) for _, addresses, told in found]
    replaced = {each.image for one in usable for each in one if each.kind is Kind.REPLACED}
    shown = {
        next(iter(told.values()))
        for (_, _, told), one in zip(found, usable, strict=True)
        if any(each.is_url and each.image not in replaced for each in one)
    }
    for (element, _, told), one in zip(found, usable, strict=True):
        own = [each for each in one if each.image not in replaced]
        once = [each for each in own if uses.count(each, told) <= 1]
        best = chosen(once or own, archived, min_side)
        # Bytes in the page beside a URL with the same text are its preview.
        if best is None or ("inline" in best[0] and next(iter(told.values())) in shown):
            continue
        image, width = best
        # The image's own width counts first: a page may show a large image small.
        side = width or declared_side(element)
        if side is None or side >= min_side:
            yield _pair(image, told, document, element, licences)


class _Uses:
    """The texts with which a page uses each address: a spinner stands for many images."""

    def __init__(self) -> None:
        self._told: dict[str, set[str]] = {}
        self._all: dict[str, set[str]] = {}

    def add(self, addresses: list[FoundImage], texts: dict[str, str]) -> None:
        source, text = next(iter(texts.items()))
        # Each thumbnail of a gallery may list all images of it.
        for each in [one for one in addresses if one.kind is not Kind.LISTED]:
            self._all.setdefault(each.image, set()).add(text)
            if source != "nearby":
                self._told.setdefault(each.image, set()).add(text)

    def count(self, address: FoundImage, texts: dict[str, str]) -> int:
        """How many texts the address has; where the texts lie nearby, these count too."""
        uses = self._all if next(iter(texts)) == "nearby" else self._told
        return len(uses.get(address.image, ()))

    def usable(self, addresses: list[FoundImage], texts: dict[str, str]) -> list[FoundImage]:
        """The addresses that may belong to these texts.

        An image may have two texts on a page; three, or two nearby, make a placeholder.
        """
        most = 1 if next(iter(texts)) == "nearby" else 2
        return [each for each in addresses if self.count(each, texts) <= most]


def _shared(
    shared: list[SharedImage], document: Document, licences: Licences, min_side: int
) -> Iterator[dict[str, Any]]:
    for each in shared:
        found = chosen([FoundImage(url, Candidate(url), Kind.PLAIN) for url in each.addresses])
        if found and each.texts and min(each.sides, default=min_side) >= min_side:
            yield _pair(found[0], each.texts, document, None, licences)


def _merged(pairs: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Each image once, with the better text: two pairs may know different sizes of one image."""
    best: dict[str, dict[str, Any]] = {}
    main: dict[str, str] = {}
    for pair in pairs:
        image = pair["image"]
        addresses = [*_urls(image)] or [image["inline"]]
        key = next(
            (each for each in addresses if each in best), main.get(addresses[0], addresses[0])
        )
        held = best.setdefault(key, pair)
        known = max(held["image"], image, key=lambda each: len(each.get("alternatives", ())))
        best[key] = max(held, pair, key=_trust) | {"image": known}
        main |= dict.fromkeys(addresses, key)
    return best.values()


def _pair(
    image: dict[str, Any],
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
        "licence": licences.of(img, _urls(image)),
        "extra": {
            "text_source": source,
            "texts": {name: cut(each, EXTRA_TEXT_CHARS) for name, each in texts.items()},
        },
    }
    return {name: value for name, value in found.items() if value is not None}


def _urls(image: dict[str, Any]) -> Iterator[str]:
    yield from filter(None, [image.get("url"), *image.get("alternatives", ())])


def _trust(pair: dict[str, Any]) -> int:
    source = pair["extra"]["text_source"]
    return -_TRUST.index(source) if source in _TRUST else -len(_TRUST)
