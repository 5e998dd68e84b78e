"""WAT archives: the images that Common Crawl noted of each page, with their texts."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from kaption.producers.sources import Item, Unreadable, open_source
from kaption.schemas import RawPair
from support.source_inputs import page, warc_record

PAGE = "http://shop.example/a/"


def noted(
    links: list[Any], head: dict[str, Any] | None = None, url: str = PAGE, **response: Any
) -> bytes:
    """The JSON of a page, as Common Crawl writes it."""
    html = {"Head": head or {}, "Links": links}
    envelope = {
        "Format": "WARC",
        "WARC-Header-Metadata": {"WARC-Target-URI": url, "WARC-Date": "2025-12-24T01:02:03Z"},
        "Payload-Metadata": {
            "HTTP-Response-Metadata": {
                "Response-Message": {"Status": "200", "Version": "HTTP/1.1"},
                "Headers": {"Content-Type": "text/html"},
                "HTML-Metadata": html,
                **response,
            }
        },
    }
    return json.dumps({"Container": {"Filename": "a.warc.gz"}, "Envelope": envelope}).encode()


def record(content: bytes) -> bytes:
    head = (
        f"WARC/1.0\r\nWARC-Type: metadata\r\nWARC-Target-URI: {PAGE}\r\n"
        "WARC-Date: 2026-01-02T03:04:05Z\r\nContent-Type: application/json\r\n"
        "WARC-Record-ID: <urn:uuid:12345678-1234-1234-1234-123456789abc>\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content + b"\r\n\r\n"


def read(folder: Path, *contents: bytes, name: str = "a.warc.wat.gz") -> list[Item]:
    path = folder / name
    path.write_bytes(b"".join(gzip.compress(record(each)) for each in contents))
    return [found.item for found in open_source(str(path)).read()]


def pairs(found: list[Item]) -> list[RawPair]:
    return [each for each in found if isinstance(each, RawPair)]


def image(url: str, alt: str, **more: str) -> dict[str, str]:
    return {"path": "IMG@/src", "url": url, "alt": alt, **more}


@pytest.mark.parametrize("name", ["a.warc.wat.gz", "a.wat.gz", "wat-download"])
def test_an_image_with_a_text_is_a_pair(tmp_path: Path, name: str) -> None:
    # Given links of a page: images with and without a text, and others
    links = [
        {"path": "A@/href", "url": "/b", "text": "more"},
        image("/img/mug.jpg", 'a "red" mug & <b>'),
        image("http://cdn.example/壺.jpg", "壺", title="a pot"),
        image("/none.jpg", ""),
        {"path": "IMG@/src", "url": "/no-alt.jpg"},
        image("", "no address"),
        image("javascript:x", "no image"),
        image("/logo.svg", "a logo"),
        "no object",
    ]
    # When it is read
    red, pot = pairs(read(tmp_path, noted(links), name=name))
    # Then the images with texts are there, with their page
    assert (red.text, red.image.url) == ('a "red" mug & <b>', "http://shop.example/img/mug.jpg")
    assert (pot.text, pot.extra["texts"]["title"]) == ("壺", "a pot")
    assert (pot.page_url, str(pot.fetched_at)) == (PAGE, "2025-12-24 01:02:03+00:00")


def test_base_licence_and_shared_image_of_the_head_are_read(tmp_path: Path) -> None:
    head = {
        "Base": "http://cdn.example/x/",
        "Metas": [
            {"property": "og:image", "content": "og.jpg"},
            {"property": "og:image:alt", "content": "shared"},
        ],
        "Link": [{"path": "LINK@/href", "url": "http://l.example/terms", "rel": "license"}],
    }

    found = pairs(read(tmp_path, noted([image("1.jpg", "one")], head=head)))

    assert [each.image.url for each in found] == [
        "http://cdn.example/x/1.jpg",
        "http://cdn.example/x/og.jpg",
    ]
    assert {each.licence for each in found} == {"http://l.example/terms"}


@pytest.mark.parametrize("name", ["HTML@/lang", "HTML@/xml:lang"])
def test_the_language_of_the_page_is_read(tmp_path: Path, name: str) -> None:
    head = {"Base": "http://cdn.example/x/", "Metas": [{"name": name, "content": "de-AT"}]}

    (found,) = pairs(read(tmp_path, noted([image("1.jpg", "ein Krug")], head=head)))

    assert (found.language, found.image.url) == ("de-AT", "http://cdn.example/x/1.jpg")


def test_the_image_of_a_link_in_the_head_has_the_title_of_the_page(tmp_path: Path) -> None:
    head = {
        "Title": 'a "red" mug & <b>',
        "Link": [{"path": "LINK@/href", "url": "/m.jpg", "rel": "image_src"}],
    }

    (found,) = pairs(read(tmp_path, noted([], head=head)))

    assert (found.text, found.image.url) == (head["Title"], "http://shop.example/m.jpg")


@pytest.mark.parametrize(
    ("head", "headers"),
    [
        ({"Metas": [{"name": "robots", "content": "noai"}]}, {}),
        ({}, {"X-Robots-Tag": "noai"}),
        ({}, {"x-robots-tag": ["max-snippet:1", "noai"]}),
    ],
)
def test_opt_outs_are_recorded(
    tmp_path: Path, head: dict[str, Any], headers: dict[str, Any]
) -> None:
    (pair,) = pairs(read(tmp_path, noted([image("1.jpg", "one")], head=head, Headers=headers)))

    assert [signal.value for signal in pair.opt_out] == ["noai"]


@pytest.mark.parametrize(("media_type", "said"), [("application/rsl+xml", 1), ("text/html", 0)])
def test_a_licence_of_rsl_is_recorded(tmp_path: Path, media_type: str, said: int) -> None:
    link = {"path": "LINK@/href", "url": "/l.xml", "rel": "license", "type": media_type}

    (pair,) = pairs(read(tmp_path, noted([image("1.jpg", "one")], head={"Link": [link]})))

    expected = [("rsl_licence_unread", "http://shop.example/l.xml")] * said
    assert [(one.kind, one.value) for one in pair.opt_out] == expected


@pytest.mark.parametrize(
    "odd",
    [
        b"{}",
        b"[]",
        b"null",
        b'{"Envelope": []}',
        b'{"Envelope": {"Payload-Metadata": {"HTTP-Request-Metadata": {}}}}',
        noted([image("1.jpg", "one")], url=""),
        noted([image("1.jpg", "gone")], None, PAGE, **{"Response-Message": {"Status": "404"}}),
        noted([], head={"Metas": "none", "Link": None, "Base": 4}),
        noted([{"path": None, "url": None, "rel": 3}]),
    ],
)
def test_what_notes_no_image_gives_nothing(tmp_path: Path, odd: bytes) -> None:
    found = read(tmp_path, odd, noted([image("1.jpg", "one")]))

    assert [each.text for each in pairs(found)] == ["one"]
    assert len(found) == 1


@pytest.mark.parametrize("broken", [b"{oops", b"[" * 100_000, b""])
def test_a_record_that_is_no_json_is_one_error(tmp_path: Path, broken: bytes) -> None:
    error, pair = read(tmp_path, broken, noted([image("1.jpg", "one")]))

    assert isinstance(error, Unreadable)
    assert error.place.endswith(PAGE)
    assert isinstance(pair, RawPair)


def test_wats_beside_their_warc_are_left_out_and_texts_are_passed_over(tmp_path: Path) -> None:
    read(tmp_path, noted([image("1.jpg", "noted twice")]), name="a.warc.wat.gz")
    read(tmp_path, noted([image("1.jpg", "noted once")]), name="b.warc.wat.gz")
    (tmp_path / "b.warc.wet.gz").write_bytes(b"not read")
    html = page(['<img src="1.jpg" alt="archived">'])
    archive = gzip.compress(warc_record(PAGE, "text/html", html))
    (tmp_path / "a.warc.gz").write_bytes(archive)

    found = [each.item for each in open_source(str(tmp_path)).read()]

    assert [each.text for each in pairs(found)] == ["archived", "noted once"]
