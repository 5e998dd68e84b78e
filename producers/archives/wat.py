"""Records of a WAT archive: what Common Crawl noted of each page, as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from html import escape
from typing import Any, NamedTuple

from kaption.schemas.odd_values import NotUnderstood, moment
from kaption.schemas.plain_json import read_json

_CREATIVE_COMMONS = "creativecommons.org/"


class NotedPage(NamedTuple):
    """What a WAT record tells of a page."""

    url: str
    html: str
    """The noted elements as a page: language, title, metas, licences, images with their texts."""
    headers: list[tuple[str, str]]
    fetched_at: datetime | None


def noted_page(content: bytes) -> NotedPage | None:
    """The page of a WAT record, or None if it notes no successful answer with HTML.

    Raises ValueError if it is no JSON.
    """
    envelope = _part(read_json(content), "Envelope")
    warc = _part(envelope, "WARC-Header-Metadata")
    response = _part(envelope, "Payload-Metadata", "HTTP-Response-Metadata")
    noted = _part(response, "HTML-Metadata")
    url, status = warc.get("WARC-Target-URI"), _part(response, "Response-Message").get("Status")
    if not isinstance(url, str) or not noted or str(status or 200) != "200":
        return None
    headers = [
        (name, each)
        for name, value in _part(response, "Headers").items()
        for each in (value if isinstance(value, list) else [value])
        if isinstance(each, str)
    ]
    html = "".join(_elements(noted))
    return NotedPage(url.strip("<> "), html, headers, _time(warc.get("WARC-Date")))


def _elements(noted: dict[str, Any]) -> Iterator[str]:
    head = _part(noted, "Head")
    metas = _list(head, "Metas")
    # The attributes of <html> are noted among them.
    said = {str(meta.get("name")).lower(): meta.get("content") for meta in metas}
    language = said.get("html@/lang") or said.get("html@/xml:lang")
    if isinstance(language, str):
        yield f'<html lang="{escape(language)}">'
    if isinstance(base := head.get("Base"), str):
        yield f'<base href="{escape(base)}">'
    if isinstance(title := head.get("Title"), str):
        yield f"<title>{escape(title)}</title>"
    for meta in metas:
        yield _element("meta", meta)
    for link in (*_list(head, "Link"), *_list(noted, "Links")):
        # Its path tells element and attribute: IMG@/src, A@/href, LINK@/href.
        path, url = str(link.get("path")).upper(), str(link.get("url"))
        if path in ("IMG@/SRC", "IMG@/SRCSET", "IMG@/DATA-SRC"):
            yield _element("img", {**link, path.partition("/")[2].lower(): url})
        elif "image_src" in str(link.get("rel")).lower().split():
            yield _element("link", {"rel": link.get("rel"), "href": url})
        elif "license" in str(link.get("rel")).lower().split() or _CREATIVE_COMMONS in url:
            yield _element("a", {"rel": link.get("rel"), "type": link.get("type"), "href": url})


def _element(name: str, attributes: dict[str, Any]) -> str:
    written = (
        f' {key}="{escape(value)}"'
        for key, value in attributes.items()
        if isinstance(value, str) and key.replace("-", "").isalnum()
    )
    # A block around each image: the texts of its neighbours are not about it.
    return (
        f"<div><{name}{''.join(written)}></div>" if name == "img" else f"<{name}{''.join(written)}>"
    )


def _time(value: Any) -> datetime | None:
    with suppress(NotUnderstood):
        found: datetime = moment(value).value
        return found
    return None


def _part(value: Any, *names: str) -> dict[str, Any]:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _list(value: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = value.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
