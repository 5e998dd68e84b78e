"""Web archives become pairs: the images of their pages, with bytes where the archive has them."""

import gzip
from pathlib import Path

import pytest

from kaption.producers.sources import SourceError, open_source
from kaption.schemas import ImageSource, RawPair
from support.source_inputs import IMAGE, page, warc_record


def pairs(path: Path, **options: str) -> list[RawPair]:
    items = [found.item for found in open_source(str(path), options=options).read()]
    return [item for item in items if isinstance(item, RawPair)]


def archive(folder: Path, *records: bytes, compressed: bool = True) -> Path:
    path = folder / ("crawl.warc.gz" if compressed else "crawl.warc")
    path.write_bytes(b"".join(gzip.compress(each) if compressed else each for each in records))
    return path


@pytest.mark.parametrize("compressed", [True, False])
def test_images_are_joined_to_the_pages_that_embed_them(tmp_path: Path, compressed: bool) -> None:
    # Given pages, one of whose images is in the archive, before or after them
    html = page(
        [
            '<img srcset="in.jpg 800w, small.jpg 100w" src="small.jpg" alt="inside">',
            '<img src="/out.jpg" alt="outside">',
        ]
    )
    path = archive(
        tmp_path,
        warc_record("http://shop.example/a/", "text/html", html),
        warc_record("http://cdn.example/in.jpg", "image/jpeg", IMAGE),
        warc_record("http://cdn.example/out.jpg", "image/jpeg", b"gone", status="404 Not Found"),
        compressed=compressed,
    )
    # When it is read
    inside, outside = pairs(path)
    # Then that one has its bytes, the other its address, both their page's
    assert (inside.text, inside.image) == ("inside", ImageSource(inline=IMAGE))
    assert inside.extra["image_url"] == "http://cdn.example/in.jpg"
    assert (outside.text, outside.image.url) == ("outside", "http://cdn.example/out.jpg")
    assert inside.page_url == outside.page_url == "http://shop.example/a/"
    assert inside.fetched_at is not None
    assert inside.fetched_at.isoformat() == "2026-01-02T03:04:05+00:00"


@pytest.mark.parametrize(
    ("attributes", "names", "taken"),
    [
        ('srcset="a.jpg 900w, b.jpg 600w, c.jpg 300w" src="d.jpg"', "bcd", "b"),
        ('srcset="a.jpg 2x, b.jpg" src="d.jpg"', "bd", "b"),
        ('srcset="a.jpg 900w, b.jpg 600w" src="d.jpg"', "d", "d"),
        ('srcset="a.jpg 900w" data-src="b.jpg" src="b.jpg"', "b", "b"),
        # What may be a blank, or is told to be too small, is no image; the URL is.
        ('data-src="a.jpg" src="d.jpg"', "d", None),
        ('data-srcset="a.jpg 900w" srcset="d.jpg 800w"', "d", None),
        ('srcset="a.jpg 900w, b.jpg 50w"', "b", None),
        ('srcset="a.jpg 900w, b.jpg 600w"', "", None),
    ],
)
def test_the_largest_size_in_the_archive_is_taken(
    tmp_path: Path, attributes: str, names: str, taken: str | None
) -> None:
    images = [
        warc_record(f"http://cdn.example/{name}.jpg", "image/jpeg", IMAGE + name.encode())
        for name in names
    ]
    html = page([f'<img {attributes} alt="a mug">'])

    (pair,) = pairs(archive(tmp_path, warc_record("http://a.example/", "text/html", html), *images))

    if taken is None:
        assert pair.image.url == "http://cdn.example/a.jpg"
    else:
        assert pair.image == ImageSource(inline=IMAGE + taken.encode())
        assert pair.extra["image_url"] == f"http://cdn.example/{taken}.jpg"


def test_sizes_in_a_picture_element_are_looked_for_too(tmp_path: Path) -> None:
    sources = '<source srcset="a.webp 900w"><source srcset="b.jpg 600w">'
    html = page([f'<picture>{sources}<img src="c.jpg" alt="a mug"></picture>'])
    image = warc_record("http://cdn.example/b.jpg", "image/jpeg", IMAGE)

    (pair,) = pairs(archive(tmp_path, image, warc_record("http://a.example/", "text/html", html)))

    assert pair.image == ImageSource(inline=IMAGE)


@pytest.mark.parametrize(
    ("media_type", "meta", "charset"),
    [
        ("text/html; charset=iso-8859-1", "", "latin-1"),
        ("text/html", '<meta charset="iso-8859-1">', "latin-1"),
        ("text/html; charset=no-such", "", "utf-8"),
        ("text/html", "", "utf-8"),
    ],
)
def test_pages_are_read_in_their_charset(
    tmp_path: Path, media_type: str, meta: str, charset: str
) -> None:
    html = f'{meta}<p><img src="http://cdn.example/1.jpg" alt="grün">'.encode(charset)

    (pair,) = pairs(archive(tmp_path, warc_record("http://a.example/", media_type, html)))

    assert pair.text == "grün"


def test_an_encoded_page_is_decoded(tmp_path: Path) -> None:
    html = gzip.compress(page(['<img src="/1.jpg" alt="a mug">']))
    record = warc_record("http://a.example/", "text/html\r\nContent-Encoding: gzip", html)

    (pair,) = pairs(archive(tmp_path, record))

    assert pair.text == "a mug"


def test_opt_outs_count_for_all_and_for_the_crawlers_named(tmp_path: Path) -> None:
    robots = "text/html\r\nX-Robots-Tag: noml, ccbot: noai, mybot: noindex, otherbot: none"
    path = archive(
        tmp_path, warc_record("http://a.example/", robots, page(['<img src=1 alt="a">']))
    )

    (pair,) = pairs(path, agents="mybot,CCBot")

    assert [signal.value for signal in pair.opt_out] == ["noml", "ccbot: noai", "mybot: noindex"]


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("X-Robots-Tag: mybot: noai", "x_robots_tag"),
        ("TDM-Reservation: 1", "tdm_reservation"),
        ("Content-Usage: train-ai=n", "content_usage"),
        ("Content-Signal: ai-train=no", "content_signal"),
        ("X-Robots-Tag: otherbot: noai", None),
    ],
)
def test_opt_outs_in_the_headers_of_an_image_count_for_that_image(
    tmp_path: Path, header: str, kind: str | None
) -> None:
    html = page(['<img src="a.jpg" alt="a mug">', '<img src="b.jpg" alt="a jug">'])
    url = "http://cdn.example/a.jpg"
    path = archive(
        tmp_path,
        warc_record("http://shop.example/", "text/html", html),
        warc_record(url, f"image/jpeg\r\n{header}", IMAGE),
        warc_record("http://cdn.example/b.jpg", "image/jpeg", IMAGE),
    )

    mug, jug = pairs(path, agents="mybot")

    assert [(one.kind, one.source) for one in mug.opt_out] == ([(kind, url)] if kind else [])
    assert jug.opt_out == ()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("robots.txt", "User-agent: *\nDisallow: /a", [("robots_txt", "Disallow: /a")]),
        ("robots.txt", "User-agent: MyBot\nDisallow: /", [("robots_txt", "Disallow: /")]),
        (
            "robots.txt",
            "User-agent: kaption\nDisallow: /*.jpg$",
            [("robots_txt", "Disallow: /*.jpg$")],
        ),
        (
            "robots.txt",
            "User-agent: *\nContent-Signal: ai-train=no",
            [("content_signal", "Content-Signal: ai-train=no")],
        ),
        ("robots.txt", "User-agent: otherbot\nDisallow: /", []),
        ("robots.txt", "User-agent: *\nDisallow: /b\nAllow: /", []),
        (
            ".well-known/tdmrep.json",
            '[{"location": "/*.jpg", "tdm-reservation": 1}]',
            [("tdm_reservation", "1")],
        ),
        (".well-known/tdmrep.json", "<html>not found", []),
    ],
)
def test_archived_files_of_the_images_server_count(
    tmp_path: Path, name: str, content: str, said: list[tuple[str, str]]
) -> None:
    # Given a page, an image that is reached by a redirect, and a file of the image's server
    url = f"http://cdn.example/{name}"
    path = archive(
        tmp_path,
        warc_record("http://shop.example/", "text/html", page(['<img src="o.jpg" alt="a mug">'])),
        warc_record(
            "http://cdn.example/o.jpg", "text/html\r\nLocation: a.jpg", b"", status="302 Found"
        ),
        warc_record("https://CDN.example/a.jpg", "image/jpeg", IMAGE),
        warc_record(url, "text/plain", content.encode()),
        warc_record(f"http://shop.example/{name}", "text/plain", b"User-agent: *\nDisallow: /"),
    )
    # When / Then
    (pair,) = pairs(path, agents="mybot")
    assert pair.image.inline is not None
    assert list(dict.fromkeys((one.kind, one.value) for one in pair.opt_out)) == said
    assert {one.source for one in pair.opt_out} <= {url, url.replace("http:", "https:")}


@pytest.mark.parametrize("place", ["robots.txt", "image", "page"])
@pytest.mark.parametrize(
    ("terms", "said"),
    [
        (b"<prohibits>ai-train</prohibits>", [("rsl_licence", "prohibits ai-train")]),
        (b"<permits>ai-train</permits>", []),
        (None, [("rsl_licence_unread", "http://cdn.example/l.xml")]),
    ],
)
def test_a_licence_counts_by_its_archived_terms(
    tmp_path: Path, place: str, terms: bytes | None, said: list[tuple[str, str]]
) -> None:
    # Given an archived image whose server or page names a licence, which may be archived too
    named = "\r\nLink: <http://cdn.example/l.xml>; rel=license; type=application/rsl+xml"
    links = {place: named}
    html = page(['<img src="a.jpg" alt="a mug">'])
    robots = b"License: /l.xml" if place == "robots.txt" else b""
    content = b"<rsl><content url='/'><license>%s</license></content></rsl>" % (terms or b"")
    held = [warc_record("http://cdn.example/l.xml", "application/rsl+xml", content)]
    path = archive(
        tmp_path,
        warc_record("http://shop.example/", f"text/html{links.get('page', '')}", html),
        warc_record("http://cdn.example/a.jpg", f"image/jpeg{links.get('image', '')}", IMAGE),
        warc_record("http://cdn.example/robots.txt", "text/plain", robots),
        *(held if terms else []),
    )
    # When / Then
    (pair,) = pairs(path)
    assert [(one.kind, one.value) for one in pair.opt_out] == said


def test_the_archived_tdmrep_json_of_a_page_counts_for_its_images(tmp_path: Path) -> None:
    rules = b'[{"location": "/art/", "tdm-reservation": 1}]'
    html = page(['<img src="a.jpg" alt="a mug">'])
    path = archive(
        tmp_path,
        warc_record("http://shop.example/art/1", "text/html", html),
        warc_record("http://shop.example/2", "text/html", html.replace(b"a.jpg", b"b.jpg")),
        warc_record("https://shop.example/.well-known/tdmrep.json", "application/json", rules),
    )

    art, other = pairs(path)

    assert [(one.kind, one.value) for one in art.opt_out] == [("tdm_reservation", "1")]
    assert other.opt_out == ()


def conversion(kind: str = "conversion") -> bytes:
    """A record of a WET archive, or with metadata of a WAT archive."""
    text = b"plain text of a page"
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://a.example/\r\n"
        "WARC-Date: 2026-01-02T03:04:05Z\r\n"
        "WARC-Record-ID: <urn:uuid:12345678-1234-1234-1234-123456789abc>\r\n"
        f"Content-Type: text/plain\r\nContent-Length: {len(text)}\r\n\r\n"
    )
    return head.encode() + text + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("crawl.warc.gz", "conversion"),
        ("crawl.warc.wet.gz", "conversion"),
        ("crawl.warc.wat.gz", "metadata"),
    ],
)
def test_an_archive_without_responses_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    path = archive(tmp_path, conversion("warcinfo"), conversion(kind)).rename(tmp_path / name)

    with pytest.raises(SourceError, match="give the WARC that it was made from"):
        pairs(path)


def test_a_folder_of_archives_of_texts_is_refused(tmp_path: Path) -> None:
    archive(tmp_path, conversion()).rename(tmp_path / "crawl.warc.wet.gz")

    with pytest.raises(SourceError, match="give the WARC that it was made from"):
        pairs(tmp_path)


def test_an_empty_archive_in_a_folder_is_no_error(tmp_path: Path) -> None:
    archive(tmp_path, conversion("warcinfo")).rename(tmp_path / "a.warc.gz")
    archive(tmp_path, warc_record("http://a.example/", "text/html", page(['<img src=1 alt="a">'])))

    assert [pair.text for pair in pairs(tmp_path)] == ["a"]


def test_a_file_that_is_no_archive_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "crawl.warc.gz"
    path.write_bytes(gzip.compress(b"no archive")[:-4] + b"oops")

    with pytest.raises(SourceError, match="damaged or no WARC"):
        pairs(path)


@pytest.mark.parametrize(
    ("head", "before"),
    [
        ("HTTP/1.1 200 OK\r\n\r\n", "<html>"),
        ("HTTP/1.1 200 OK\r\n\r\n", "<!-- a\nb --><body class=x>"),
        ("HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", " <div>"),
        (":status: 200\r\ncontent-type: text/html\r\n\r\n", ""),
        ("HTTP/2 200\r\n:status: 200\r\ncontent-type: text/html\r\n\r\n", ""),
    ],
)
def test_a_page_behind_an_odd_head_is_read(tmp_path: Path, head: str, before: str) -> None:
    record = warc_record("http://shop.example/", "text/html", b"")
    http = f'{head}{before}<img src="/1.jpg" alt="a mug">'.encode()
    start, _, _ = record.partition(b"Content-Length")
    path = tmp_path / "a.warc"
    path.write_bytes(start + b"Content-Length: %d\r\n\r\n%s\r\n\r\n" % (len(http), http))

    (pair,) = [found.item for found in open_source(str(path)).read()]

    assert isinstance(pair, RawPair)
    assert (pair.text, pair.image.url) == ("a mug", "http://shop.example/1.jpg")
