"""The address of an <img>: the largest real image, as a browser would load it."""

import base64
import os

import pytest

from kaption.producers.web import image_pairs
from kaption.producers.web.addresses import WIDEST
from kaption.producers.web.srcset import Candidate, srcset
from kaption.workers.policy.ingest import ImagePolicy

PAGE = "https://example.org/shop/mugs.html"
TINY = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


def urls(html: str, page: str = PAGE) -> list[str]:
    return [pair["image"].get("url", "inline") for pair in image_pairs(html, page)]


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("mug.jpg", "https://example.org/shop/mug.jpg"),
        ("/mug.jpg", "https://example.org/mug.jpg"),
        ("../mug.jpg", "https://example.org/mug.jpg"),
        ("//cdn.example/mug.jpg", "https://cdn.example/mug.jpg"),
        ("http://cdn.example/mug.jpg?w=1&amp;h=2", "http://cdn.example/mug.jpg?w=1&h=2"),
        (" mug.jpg#top\n", "https://example.org/shop/mug.jpg"),
        ("blue mug.jpg", "https://example.org/shop/blue%20mug.jpg"),
        ("blue%20mug.jpg", "https://example.org/shop/blue%20mug.jpg"),
        ("krüge/ü.jpg", "https://example.org/shop/kr%C3%BCge/%C3%BC.jpg"),
        ("https://Bücher.example:443/a.jpg", "https://xn--bcher-kva.example/a.jpg"),
        ("//cdn.example\\i\\mug.jpg", "https://cdn.example/i/mug.jpg"),
        ("\\\\cdn.example/mug.jpg", "https://cdn.example/mug.jpg"),
        ("i\\mug.jpg", "https://example.org/shop/i/mug.jpg"),
        ("https:mug.jpg", "https://example.org/shop/mug.jpg"),
        ("http:/cdn.example/mug.jpg", "http://cdn.example/mug.jpg"),
        ("/i/%2e%2e/mug.jpg", "https://example.org/mug.jpg"),
        ("/100%/mug%2fa%2F.jpg?s=a%2B/=", "https://example.org/100%/mug%2fa%2F.jpg?s=a%2B/="),
        ("image?id=7&amp;copy=1", "https://example.org/shop/image?id=7&copy=1"),
        ("mug;v=1,2.jpg", "https://example.org/shop/mug;v=1,2.jpg"),
        ("/image/7", "https://example.org/image/7"),
        ("/i/m\nug.jpg", "https://example.org/i/mug.jpg"),
    ],
)
def test_addresses_are_those_a_browser_goes_to(address: str, url: str) -> None:
    assert urls(f'<img src="{address}" alt="A mug">') == [url]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "#",
        "javascript:void(0)",
        "blob:https://example.org/1",
        "ftp://example.org/mug.jpg",
        "http://[mug.jpg",
        "http://example.org:port/mug.jpg",
        "logo.svg",
        "https://example.org/" + "x" * 9_000,
        "data:image/png;base64,!!",
        "data:text/html;base64," + "A" * 2_000,
        TINY,
    ],
)
def test_an_address_without_an_image_is_left_out(address: str) -> None:
    assert urls(f'<img src="{address}" alt="A mug">') == []


def test_relative_addresses_are_relative_to_the_base() -> None:
    html = '<head><base target="x"><base href="/static/"></head><img src="mug.jpg" alt="A mug">'

    assert urls(html) == ["https://example.org/static/mug.jpg"]


@pytest.mark.parametrize(
    "attributes",
    [
        f'src="{TINY}" data-src="mug.jpg"',
        'src="blank.gif" data-original="mug.jpg"',
        'data-lazy-src="mug.jpg"',
        'src="small.jpg" srcset="small.jpg 300w, mug.jpg 900w, middle.jpg 600w"',
        'src="small.jpg" data-srcset="mug.jpg 2x, small.jpg"',
        f'src="{TINY}" srcset="{TINY} 1w" data-lazy-srcset="small.jpg 100w,mug.jpg 200w"',
    ],
)
def test_the_largest_real_image_is_taken(attributes: str) -> None:
    assert urls(f'<img {attributes} alt="A mug">') == ["https://example.org/shop/mug.jpg"]


@pytest.mark.parametrize(
    ("html", "alternatives"),
    [
        ('srcset="a.jpg 300w, b.jpg 900w, c.jpg 600w" src="d.jpg"', ["c", "a", "d"]),
        ('srcset="e.jpg 20000w, b.jpg 8000w, a.jpg 400w, c.jpg 9000w"', ["a", "c", "e"]),
        ('srcset="a.jpg, b.jpg 2x, c.jpg 1.5x" src="a.jpg"', ["c", "a"]),
        ('data-src="b.jpg" src="spinner-of-all.jpg"', []),
        ('data-src="b-900x600.jpg" src="b-30x20.jpg"', ["b-30x20"]),
        ('src="a.jpg" data-zoom-image="b.jpg" data-thumb="c.jpg"', ["a", "c"]),
        ('src="b.jpg" data-src="data:image/png;base64,AAAA"', []),
        (
            'srcset="b.jpg 9w,' + ",".join(f"{n}.jpg {n}w" for n in range(1, 9)) + '"',
            ["8", "7", "6", "5"],
        ),
    ],
)
def test_the_other_sizes_are_alternatives(html: str, alternatives: list[str]) -> None:
    (pair,) = image_pairs(f'<img {html} alt="A mug">', PAGE, min_side=1)

    names = [
        url.rpartition("/")[2].removesuffix(".jpg")
        for url in (pair["image"]["url"], *pair["image"].get("alternatives", ()))
    ]
    assert names[0].startswith("b")
    assert names[1:] == alternatives


def test_a_preview_of_wix_stands_for_its_image() -> None:
    media = "https://static.wixstatic.com/media/a1_7~mv2.jpg"
    preview = f"{media}/v1/fill/w_49,h_33,al_c,q_80,usm_0.66_1.00_0.01,blur_2/a1_7~mv2.jpg"

    (pair,) = image_pairs(f'<wow-image><img src="{preview}" alt="A mug"></wow-image>', PAGE)

    assert (pair["image"]["url"], pair["image"]["alternatives"]) == (media, [preview])


def test_the_widest_image_is_as_wide_as_ingest_accepts() -> None:
    assert ImagePolicy().max_pixels == WIDEST**2


def test_the_sources_of_a_picture_element_are_read() -> None:
    html = """<picture>
        <source type="image/jxl" srcset="mug.jxl 2000w">
        <source type="image/avif" srcset="mug-400.avif 400w, mug-1200.avif 1200w">
        <img src="mug.jpg" alt="A mug"></picture>"""

    assert urls(html) == ["https://example.org/shop/mug-1200.avif"]


def test_without_sizes_a_picture_element_means_its_img() -> None:
    html = '<picture><source srcset="mug.webp"><img src="mug.jpg" alt="A mug"></picture>'

    assert urls(html) == ["https://example.org/shop/mug.jpg"]


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("a.jpg", [Candidate("a.jpg")]),
        ("a.jpg 1x, b.jpg 1.5x", [Candidate("a.jpg"), Candidate("b.jpg", density=1.5)]),
        (" ,a.jpg 100w,b.jpg 200w 50h, ", [Candidate("a.jpg", 100), Candidate("b.jpg", 200)]),
        ("w_9,h_9/a.jpg 9w, b.jpg", [Candidate("w_9,h_9/a.jpg", 9), Candidate("b.jpg")]),
        ("a.jpg, b.jpg", [Candidate("a.jpg"), Candidate("b.jpg")]),
        ("a.jpg 1.5e1x,b.jpg .5x", [Candidate("a.jpg", 0, 15), Candidate("b.jpg", 0, 0.5)]),
        ("a.jpg (1, 2) 3x, b.jpg", [Candidate("b.jpg")]),
        ("a.jpg huge, b.jpg 1x 2x, c.jpg 9w 2x, d.jpg -1x, e.jpg 0w, f.jpg w, g.jpg 9h", []),
        ("a.jpg 800, b.jpg 9.5w, c.jpg 9W, d.jpg +1x, e.jpg x, f.jpg 1x 9h", []),
        ("a.jpg,b.jpg 2x", [Candidate("a.jpg,b.jpg", density=2)]),
        ("a.jpg,, b.jpg", [Candidate("a.jpg"), Candidate("b.jpg")]),
        ("a.jpg (", []),
        ("data:image/png;base64,AA== 2x", [Candidate("data:image/png;base64,AA==", density=2)]),
        ("", []),
        (",,", []),
    ],
)
def test_srcset_is_read_as_browsers_do(text: str, candidates: list[Candidate]) -> None:
    assert list(srcset(text)) == candidates


def test_a_small_image_inside_the_page_travels_inline() -> None:
    content = os.urandom(2_000)
    uri = "data:image/png;base64," + base64.b64encode(content).decode()

    (pair,) = image_pairs(f'<img src="{uri}" alt="A mug">', PAGE)

    assert base64.b64decode(pair["image"]["inline"]) == content


def test_a_large_image_inside_the_page_is_skipped() -> None:
    uri = "data:image/png;base64," + base64.b64encode(bytes(300 * 1024)).decode()

    assert urls(f'<img src="{uri}" alt="A mug">') == []


@pytest.mark.parametrize(
    ("attributes", "kept"),
    [
        ('width="1" height="1"', False),
        ('width="32"', False),
        ('width="800" height="40px"', False),
        ('style="border:0; width: 1px; height:1px"', False),
        ('width="64" height="64"', True),
        ('width="100%" height="auto"', True),
        ('style="max-width:10px"', True),
        ('width="50" srcset="/m.jpg 50w, /l.jpg 1000w"', True),
    ],
)
def test_tracking_pixels_and_icons_are_known_by_their_size(attributes: str, kept: bool) -> None:
    assert bool(urls(f'<img src="mug.jpg" {attributes} alt="A mug">')) == kept


def test_an_image_that_is_on_a_page_twice_comes_once_with_the_better_text() -> None:
    html = """<div>Our mugs<img data-src="mug.jpg"><noscript><img src="mug.jpg" alt="A mug">
        </noscript></div>"""

    (pair,) = image_pairs(html, PAGE)

    assert (pair["image"], pair["text"]) == ({"url": "https://example.org/shop/mug.jpg"}, "A mug")
