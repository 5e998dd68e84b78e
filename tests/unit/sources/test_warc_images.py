"""A page's image is found in the archive, however its address is written or redirected."""

from itertools import pairwise
from pathlib import Path

import pytest

from kaption.producers.sources import open_source
from kaption.schemas import RawPair
from kaption.schemas.takedown import TakedownKind, rules_for
from support.source_inputs import IMAGE, page, warc_record

pytestmark = pytest.mark.slow

PAGE = "http://shop.example/a/"
# The first bytes of each format that ingest decodes.
FORMATS = {
    "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "gif": b"GIF89a\x01\x00\x01\x00",
    "webp": b"RIFF\x24\x00\x00\x00WEBPVP8 ",
    "bmp": b"BM\x46\x00\x00\x00\x00\x00\x00\x00\x36",
    "tiff": b"II*\x00\x08\x00\x00\x00",
    "avif": b"\x00\x00\x00\x1cftypavif\x00",
}


def read(path: Path, *records: bytes) -> list[RawPair]:
    path = path / "crawl.warc"
    path.write_bytes(b"".join(records))
    items = [found.item for found in open_source(str(path)).read()]
    assert all(isinstance(item, RawPair) for item in items)
    return [item for item in items if isinstance(item, RawPair)]


def html(address: str) -> bytes:
    return warc_record(PAGE, "text/html; charset=utf-8", page([f'<img src="{address}" alt="mug">']))


def redirect(url: str, to: str, status: str = "302 Found") -> bytes:
    return warc_record(url, f"text/plain\r\nLocation: {to}", b"", status=status)


@pytest.mark.parametrize(
    ("written", "archived"),
    [
        ("http://CDN.Example/a.jpg", "http://cdn.example/a.jpg"),
        ("http://cdn.example/a.jpg", "HTTP://CDN.EXAMPLE:80/a.jpg"),
        ("https://cdn.example:443/a.jpg", "https://cdn.example/a.jpg"),
        ("http://cdn.example/a.jpg", "https://cdn.example/a.jpg"),
        ("http://bücher.example/a.jpg", "http://xn--bcher-kva.example/a.jpg"),
        ("http://straße.example/a.jpg", "http://xn--strae-oqa.example/a.jpg"),
        ("http://例え.テスト/a.jpg", "http://xn--r8jz45g.xn--zckzah/a.jpg"),
        ("http://cdn.example/ü b.jpg", "http://cdn.example/%C3%BC%20b.jpg"),
        ("http://cdn.example/%7Ea/%41.jpg", "http://cdn.example/~a/A.jpg"),
        ("http://cdn.example/%c3%bc.jpg?q=%2f", "http://cdn.example/%C3%BC.jpg?q=%2F"),
        ("http://cdn.example/x/../a.jpg", "http://cdn.example/a.jpg"),
        ("http://cdn.example/a.jpg#top", "http://cdn.example/a.jpg#other"),
        ("//cdn.example/a.jpg", "<http://cdn.example/a.jpg>"),
        ("http://cdn.example/a&amp;b.jpg?x=1&amp;y=2", "http://cdn.example/a&b.jpg?x=1&y=2"),
    ],
)
def test_one_address_has_many_spellings(tmp_path: Path, written: str, archived: str) -> None:
    image = warc_record(archived, "image/jpeg", IMAGE)

    (pair,) = read(tmp_path, html(written), image)

    assert pair.image.inline == IMAGE


@pytest.mark.parametrize(
    "other",
    [
        "http://cdn.example:8080/a.jpg",
        "http://other.example/a.jpg",
        "http://cdn.example/A.jpg",
        "http://cdn.example/a.jpg?v=2",
        "http://cdn.example/a%2Ejpg/",
        "urn:thumbnail:http://cdn.example/a.jpg",
        "http://[broken",
    ],
)
def test_another_address_is_another_image(tmp_path: Path, other: str) -> None:
    (pair,) = read(tmp_path, html("a.jpg"), warc_record(other, "image/jpeg", IMAGE))

    assert pair.image.url == "http://cdn.example/a.jpg"


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temp", "308 Perm"])
@pytest.mark.parametrize(
    "to", ["https://img.example/x/b.jpg", "//img.example/x/b.jpg", "/x/b.jpg", "../x/ü.jpg"]
)
def test_an_archived_redirect_leads_to_its_image(tmp_path: Path, status: str, to: str) -> None:
    start, at = "http://cdn.example/a/a.jpg", "img" if "img" in to else "cdn"
    end = f"https://{at}.example/x/{'%C3%BC' if 'ü' in to else 'b'}.jpg"
    image = warc_record(end, "image/jpeg", IMAGE)

    (pair,) = read(tmp_path, image, html("a/a.jpg"), redirect(start, to, status))

    assert pair.image.inline == IMAGE
    assert (pair.extra["image_url"], pair.extra["crawled_url"]) == (end, start)
    taken_down = {value for kind, value in rules_for(pair) if kind is TakedownKind.URL}
    assert {start, end} <= taken_down


@pytest.mark.parametrize("headers", ["X-Robots-Tag: noai", "TDM-Reservation: 1"])
def test_opt_outs_of_archived_redirects_and_revisits_count_for_their_image(
    tmp_path: Path, headers: str
) -> None:
    first, last = "http://cdn.example/a.jpg", "http://cdn.example/" + "b" * 9_000
    moved = redirect(first, f"{last}\r\n{headers}")
    seen = warc_record(
        "http://cdn.example/c.jpg",
        f"image/jpeg\r\n{headers}",
        b"",
        kind="revisit",
        warc=f"WARC-Refers-To-Target-URI: {last}\r\n",
    )
    image = warc_record(last, f"image/jpeg\r\n{headers}", IMAGE)

    pairs = read(tmp_path, html("a.jpg"), html("c.jpg"), moved, seen, image)

    assert [pair.image.inline for pair in pairs] == [IMAGE, IMAGE]
    said = [[str(signal.source)[:25] for signal in pair.opt_out] for pair in pairs]
    assert said == [[first, last[:25]], ["http://cdn.example/c.jpg", last[:25]]]


def test_redirects_are_followed_as_far_as_browsers_do_and_never_for_ever(tmp_path: Path) -> None:
    def hops(name: str, count: int) -> list[bytes]:
        at = [f"http://cdn.example/{name}/{number}" for number in range(count + 1)]
        return [redirect(one, other) for one, other in pairwise(at)]

    circle = [redirect("http://cdn.example/o", "/p"), redirect("http://cdn.example/p", "/o")]
    ends = [
        warc_record(f"http://cdn.example/{name}", "image/jpeg", IMAGE) for name in ("s/19", "l/30")
    ]
    pages = [html("s/0"), html("l/0"), html("o")]

    pairs = read(tmp_path, *pages, *hops("s", 19), *hops("l", 30), *circle, *ends)

    assert [pair.image.inline is not None for pair in pairs] == [True, False, False]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "media_type", ["application/octet-stream", "binary/octet-stream", "", "text/html", "text/plain"]
)
def test_an_image_is_told_by_its_bytes(tmp_path: Path, name: str, media_type: str) -> None:
    content = FORMATS[name] + b"rest"
    image = warc_record("http://cdn.example/a", media_type, content)

    (pair,) = read(tmp_path, image, html("/a"))

    assert pair.image.inline == content


def test_a_page_without_a_type_is_told_by_its_bytes_and_an_error_is_no_image(
    tmp_path: Path,
) -> None:
    content = b"<!DOCTYPE html>" + page(['<img src="a.jpg" alt="mug">'])
    error = warc_record("http://cdn.example/a.jpg", "image/jpeg", b"<html>not found</html>")

    (pair,) = read(tmp_path, warc_record(PAGE, "", content), error)

    assert (pair.text, pair.image.url) == ("mug", "http://cdn.example/a.jpg")


def test_an_image_that_was_cut_is_fetched_again(tmp_path: Path) -> None:
    names = ("whole", "length", "time", "short")
    cut = [
        warc_record("http://cdn.example/whole", "image/jpeg\r\nContent-Length: 10", IMAGE),
        warc_record("http://cdn.example/short", "image/jpeg\r\nContent-Length: 90000", IMAGE),
        *(
            warc_record(
                f"http://cdn.example/{why}", "image/jpeg", IMAGE, warc=f"WARC-Truncated: {why}\r\n"
            )
            for why in ("length", "time")
        ),
    ]

    pairs = read(tmp_path, *map(html, names), *cut)

    assert [pair.image.inline for pair in pairs] == [IMAGE, None, None, None]


@pytest.mark.parametrize(
    ("status", "headers", "whole"),
    [
        ("200 OK", "Content-Encoding: gzip\r\nContent-Length: 90000", True),
        ("200 OK", "Transfer-Encoding: chunked\r\nContent-Length: 90000", True),
        ("206 Partial Content", "Content-Range: bytes 0-9/10", True),
        ("206 Partial Content", "Content-Range: bytes 0-9/20", False),
        ("206 Partial Content", "Content-Range: bytes 1-9/10", False),
        ("206 Partial Content", "Content-Range: bytes 0-9/*", False),
        ("206 Partial Content", "X-Range: none", False),
    ],
)
def test_headers_of_encoded_bodies_and_ranges_do_not_cut_a_whole_image(
    tmp_path: Path, status: str, headers: str, whole: bool
) -> None:
    image = warc_record(
        "http://cdn.example/a.jpg", f"image/jpeg\r\n{headers}", IMAGE, status=status
    )

    (pair,) = read(tmp_path, html("a.jpg"), image)

    assert (pair.image.inline == IMAGE) is whole


def test_a_page_that_was_cut_gives_the_pairs_before_the_cut(tmp_path: Path) -> None:
    content = page(['<img src="1.jpg" alt="one">', '<img src="2.jpg" alt="two'])
    record = warc_record(PAGE, "text/html", content, warc="WARC-Truncated: length\r\n")

    assert read(tmp_path, record)[0].text == "one"


@pytest.mark.parametrize(
    "refers",
    [
        "WARC-Refers-To-Target-URI: http://cdn.example/first\r\n",
        "WARC-Payload-Digest: sha1:ABC\r\n",
        "WARC-Refers-To-Target-URI: http://gone.example/\r\nWARC-Payload-Digest: sha1:ABC\r\n",
    ],
)
def test_a_revisit_stands_for_the_image_that_it_refers_to(tmp_path: Path, refers: str) -> None:
    first = warc_record(
        "http://cdn.example/first", "image/jpeg", IMAGE, warc="WARC-Payload-Digest: sha1:ABC\r\n"
    )
    again = warc_record("http://cdn.example/again", "image/jpeg", b"", warc=refers, kind="revisit")

    (pair,) = read(tmp_path, again, html("again"), first)

    assert pair.image.inline == IMAGE


def test_a_revisit_of_nothing_hides_no_image_and_no_address(tmp_path: Path) -> None:
    image = warc_record("http://cdn.example/a", "image/jpeg", IMAGE)
    same = warc_record("http://cdn.example/a", "image/jpeg", b"", kind="revisit")
    lost = warc_record("http://cdn.example/b", "image/jpeg", b"", kind="revisit")

    here, gone = read(tmp_path, image, same, lost, html("a"), html("b"))

    assert (here.image.inline, gone.image.url) == (IMAGE, "http://cdn.example/b")
