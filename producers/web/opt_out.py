"""Opt-out signals of pages and their headers. They are recorded here; ingest judges them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from kaption.producers.web.document import Document
from kaption.schemas import OptOutSignal
from kaption.schemas.limits import LIST_ITEMS
from kaption.schemas.opt_outs.directives import (
    Fields,
    declared,
    header_signals,
    named,
    reservation_signals,
    robots_signals,
    signal,
)
from kaption.schemas.opt_outs.rsl import (
    LICENCES,
    RSL,
    RSL_TYPE,
    Rsl,
    is_rsl_link,
    linked_licences,
    unread_signals,
)
from kaption.schemas.opt_outs.tdm_rep import TdmRep

_NAMES = ("name", "http-equiv", "property", "itemprop")


def opt_out_signals(
    document: Document,
    headers: Iterable[tuple[str, str]] = (),
    tdm_rep: TdmRep | None = None,
    agents: Iterable[str] = (),
) -> tuple[OptOutSignal, ...]:
    """The page's signals, each once, and at most as many as a record holds.

    - `robots_meta` and `x_robots_tag`: directives for all crawlers, and those for `OWN_AGENT` and
      for the crawlers in `agents`, with the name in front (``mybot: noai``). Directives for other
      crawlers are ignored.
    - `content_usage` and `content_signal`: preferences that refuse training, of header and page.
    - `tdm_reservation`: ``1``, and the policy's URL if there is one. The page overrides its
      headers, and these override the site's file, as the protocol says.
    - `rsl_licence`: an RSL licence inside the page that does not permit training for free.
      `rsl_licence_unread`: the address of one that the page or a header names.
    """
    headers = _lower(headers)
    meta = _meta(document)
    ours = named(agents)
    said = declared(meta) or declared(headers)
    if said is None and tdm_rep is not None:
        said = tdm_rep.reservation(document.url)
    found: Iterator[OptOutSignal]
    found = (
        each
        for names, content in meta
        for name in re.split(r"[\s,;]+", names)  # some address several crawlers at once
        if name in ours
        for each in robots_signals("robots_meta", content, name, ours)
    )
    # A page may repeat its headers in meta elements.
    signals = [*found, *header_signals(headers, ours), *header_signals(meta, ours)]
    signals += _licensed(document, [*headers, *meta])
    return tuple(dict.fromkeys([*signals, *reservation_signals(said)]))[:LIST_ITEMS]


def image_signals(
    headers: Iterable[tuple[str, str]], agents: Iterable[str] = (), source: str | None = None
) -> tuple[OptOutSignal, ...]:
    """The signals in the headers of an image's own answer, as `opt_out_signals` reads a page's."""
    headers = _lower(headers)
    found = [*header_signals(headers, named(agents), source)]
    found += unread_signals(linked_licences(headers), source)
    return (*found, *reservation_signals(declared(headers), source))[:LIST_ITEMS]


def _licensed(document: Document, fields: Fields) -> Iterator[OptOutSignal]:
    links = (
        link.get("href")
        for link in document.root.iter("link", "a")
        if is_rsl_link(link.get("rel") or "", link.get("type") or "")
    )
    named = filter(None, (*linked_licences(fields), *islice(links, LICENCES)))
    yield from unread_signals(document.absolute(each) or each for each in named)
    scripts = (
        each
        for each in document.root.iter("script")
        if RSL_TYPE in (each.get("type") or "").lower()
    )
    for script in islice(scripts, LICENCES):
        try:
            licence = Rsl.parse(script.text or "")
        except ValueError as error:
            yield from unread_signals([str(error)])
            continue
        if licence is not None and (refused := licence.refusal(document.url)):
            yield signal(RSL, refused, None)


def _lower(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.strip().lower(), value) for name, value in headers]


def _meta(document: Document) -> Fields:
    return [
        (
            next(filter(None, map(meta.get, _NAMES)), "").strip().lower(),
            meta.get("content") or meta.get("value") or "",
        )
        for meta in document.root.iter("meta")
    ]
