"""Wishes not to be used, as pages and their headers state them; recorded here, judged elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from producers.web.document import Document
from producers.web.tdm_rep import Reservation, TdmRep, reservation
from schemas import OptOutSignal
from schemas.limits import LIST_ITEMS

DIRECTIVES = frozenset({"noai", "noimageai", "noml", "noindex", "noimageindex", "none"})
"""noai and noimageai: DeviantArt 2022; noml: Mojeek; the others: robots meta, as Google reads it.

`none` stands for noindex and nofollow.
"""
_VALUE_CHARS = 1_000
# Directives that take a value, so that their colon does not end the name of a crawler.
_VALUED = frozenset({"max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"})
_AGENT = re.compile(r"[A-Za-z*][A-Za-z0-9_.-]*")
# Other names of a meta element than these are not about crawlers: keywords, description ...
_CRAWLER = re.compile(r"robots|.*(bot|crawler|spider)|.*-(ai|extended)|slurp|teoma")


def opt_out_signals(
    document: Document, headers: Iterable[tuple[str, str]] = (), tdm_rep: TdmRep | None = None
) -> tuple[OptOutSignal, ...]:
    """Every signal once, at most as many as a record holds.

    - `robots_meta` and `x_robots_tag`: the directives, after the crawler's name where one is named
      (``gptbot: noai``); those that speak to other crawlers are recorded too.
    - `tdm_reservation`: ``1``, and the policy's URL where there is one. What the page says holds
      before its headers, and these before the site's file, as the protocol has it.
    """
    headers = [(name.strip().lower(), value) for name, value in headers]
    found = dict.fromkeys([*_robots(document, headers), *_tdm(document, headers, tdm_rep)])
    return tuple(found)[:LIST_ITEMS]


def _robots(document: Document, headers: list[tuple[str, str]]) -> Iterator[OptOutSignal]:
    for name, content in _meta(document):
        if _CRAWLER.fullmatch(name):
            agent = "" if name == "robots" else name
            yield from _signals("robots_meta", content, agent)
    for name, value in headers:
        if name == "x-robots-tag":
            yield from _signals("x_robots_tag", value, "")


def _signals(kind: str, text: str, agent: str) -> Iterator[OptOutSignal]:
    """One signal for each crawler that is named, or for all of them together."""
    by_agent: dict[str, list[str]] = {}
    for part in text.split(","):
        directive = part.strip().lower()
        name, colon, rest = directive.partition(":")
        if colon and name.strip() not in _VALUED and _AGENT.fullmatch(name.strip()):
            agent, directive = name.strip(), rest.strip()
        if directive in DIRECTIVES:
            by_agent.setdefault(agent, []).append(directive)
    for named, directives in by_agent.items():
        value = (f"{named}: " if named else "") + ", ".join(dict.fromkeys(directives))
        yield OptOutSignal(kind=kind, value=value[:_VALUE_CHARS])


def _tdm(
    document: Document, headers: list[tuple[str, str]], tdm_rep: TdmRep | None
) -> Iterator[OptOutSignal]:
    said = _declared(_meta(document)) or _declared(headers)
    if said is None and tdm_rep is not None:
        said = tdm_rep.reservation(document.url)
    if said is not None and said.reserved:
        value = f"1 {said.policy}" if said.policy else "1"
        yield OptOutSignal(kind="tdm_reservation", value=value[:_VALUE_CHARS])


def _declared(pairs: Iterable[tuple[str, str]]) -> Reservation | None:
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in ("tdm-reservation", "tdm-policy"):
            found.setdefault(name, value)
    return reservation(found.get("tdm-reservation"), found.get("tdm-policy"))


def _meta(document: Document) -> list[tuple[str, str]]:
    return [
        ((meta.get("name") or "").strip().lower(), meta.get("content") or "")
        for meta in document.root.iter("meta")
    ]
