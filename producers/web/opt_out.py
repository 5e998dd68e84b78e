"""Opt-out signals of pages and their headers. They are recorded here; ingest judges them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from kaption.producers.web.document import Document
from kaption.producers.web.tdm_rep import Reservation, TdmRep, reservation
from kaption.schemas import OptOutSignal
from kaption.schemas.limits import LIST_ITEMS

DIRECTIVES = frozenset({"noai", "noimageai", "noml", "noindex", "noimageindex", "none"})
"""noai and noimageai: DeviantArt 2022; noml: Mojeek; the others: robots meta, as Google reads it.

`none` stands for noindex and nofollow.
"""
OWN_AGENT = "kaption"
"""The name under which ingest fetches images."""
_VALUE_CHARS = 1_000
# Directives that take a value: what stands before their colon is no crawler's name.
_VALUED = frozenset({"max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"})
_OTHERS = frozenset({"all", "index", "follow", "nofollow", "noarchive", "nocache", "nosnippet"})
_OTHERS |= {"notranslate", "indexifembedded"}
_AGENT = re.compile(r"[a-z*][a-z0-9_.-]*")
_EVERYBODY = frozenset({"*", "robots"})


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
    - `tdm_reservation`: ``1``, and the policy's URL if there is one. The page overrides its
      headers, and these override the site's file, as the protocol says.
    """
    headers = [(name.strip().lower(), value) for name, value in headers]
    ours = _EVERYBODY | {OWN_AGENT} | {name.strip().lower() for name in agents}
    found = dict.fromkeys([*_robots(document, headers, ours), *_tdm(document, headers, tdm_rep)])
    return tuple(found)[:LIST_ITEMS]


def _robots(
    document: Document, headers: list[tuple[str, str]], ours: Collection[str]
) -> Iterator[OptOutSignal]:
    for name, content in _meta(document):
        if name in ours:
            yield from _signals("robots_meta", content, name, ours)
    for name, value in headers:
        if name == "x-robots-tag":
            yield from _signals("x_robots_tag", value, "*", ours)


def _signals(kind: str, text: str, agent: str, ours: Collection[str]) -> Iterator[OptOutSignal]:
    """One signal for each of our crawlers that is named, and one for all crawlers together."""
    by_agent: dict[str, list[str]] = {}
    for part in text.lower().split(","):
        name, directive = _parted(part.strip())
        # A name holds for all directives up to the next name.
        agent = name or agent
        if directive in DIRECTIVES and agent in ours:
            by_agent.setdefault("" if agent in _EVERYBODY else agent, []).append(directive)
    for named, directives in by_agent.items():
        value = (f"{named}: " if named else "") + ", ".join(dict.fromkeys(directives))
        yield OptOutSignal(kind=kind, value=value[:_VALUE_CHARS])


def _parted(part: str) -> tuple[str, str]:
    """A crawler's name, or "" if the part has none, and the directive.

    The word before a colon is a name only if a known directive follows the colon. Otherwise an
    unknown directive with a value would count as a name and hide the directives behind it.
    """
    name, colon, rest = (each.strip() for each in part.partition(":"))
    known = DIRECTIVES | _VALUED | _OTHERS
    named = colon and name not in _VALUED and _AGENT.fullmatch(name)
    return (name, rest) if named and rest.partition(":")[0].strip() in known else ("", part)


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
