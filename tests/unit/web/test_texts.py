"""The text, language and licence that a page gives an image."""

from typing import Any

import pytest

from kaption.producers.web import image_pairs

PAGE = "https://example.org/shop/"
CC_BY = "https://creativecommons.org/licenses/by/4.0/"
CC_0 = "https://creativecommons.org/publicdomain/zero/1.0/"


def only(html: str) -> dict[str, Any]:
    (pair,) = image_pairs(html, PAGE)
    return pair


def text_of(html: str) -> tuple[str, str]:
    pair = only(html)
    return pair["extra"]["text_source"], pair["text"]


@pytest.mark.parametrize(
    ("html", "source", "text"),
    [
        ('<img src=m.jpg alt=" A  blue\nmug ">', "alt", "A blue mug"),
        ('<img src=m.jpg alt="Tom &amp; J&uuml;rgen">', "alt", "Tom & Jürgen"),
        (
            "<figure><img src=m.jpg><figcaption>A <b>bl</b>ue<br>mug</figcaption></figure>",
            "figcaption",
            "A blue mug",
        ),
        ('<img src=m.jpg aria-label="A mug">', "aria", "A mug"),
        (
            "<p id=a>A</p><p id=b>mug</p><img src=m.jpg aria-labelledby='a nowhere b'>",
            "aria",
            "A mug",
        ),
        ('<img src=m.jpg title="A mug">', "title", "A mug"),
        ("<div><h2>Mugs</h2><p>All blue</p><img src=m.jpg></div>", "nearby", "Mugs All blue"),
        (
            "<td>Mug<script>x</script><!-- y --><td><a href=/><img src=m.jpg></a> 9 cm",
            "nearby",
            "9 cm",
        ),
        ('<div>A mug<img src=m.jpg alt="IMG_0001.JPG"></div>', "nearby", "A mug"),
        ('<img src=m.jpg alt="IMG_0001.JPG">', "alt", "IMG_0001.JPG"),
        ('<amp-img src=m.jpg alt="A mug"></amp-img>', "alt", "A mug"),
        ('<img src=m.jpg alt="1984">', "alt", "1984"),
    ],
)
def test_the_best_text_is_taken_and_its_place_recorded(html: str, source: str, text: str) -> None:
    assert text_of(html) == (source, text)


def test_all_texts_are_kept_in_extra() -> None:
    html = """<figure><img src=m.jpg alt="A mug" title="Mug 7" aria-label="A mug">
        <figcaption>Our best</figcaption></figure>"""

    texts = only(html)["extra"]["texts"]

    assert texts == {"alt": "A mug", "figcaption": "Our best", "title": "Mug 7"}


@pytest.mark.parametrize(
    "html",
    [
        "<img src=m.jpg>",
        '<p>Words</p><div><img src=m.jpg alt=""></div>',
        '<div>Words <img src=m.jpg alt=""></div>',
        "<div>Words <img src=m.jpg role=presentation></div>",
        "<div>Words <img src=m.jpg><img src=n.jpg></div>",
        "<div>12 / 7 <img src=m.jpg></div>",
        '<img src=m.jpg alt="★ ★ ★">',
    ],
)
def test_an_image_without_a_text_of_its_own_is_left_out(html: str) -> None:
    assert image_pairs(html, PAGE) == []


def test_nearby_text_is_bounded_and_ends_with_a_word() -> None:
    text = only("<div><img src=m.jpg>" + "word " * 1_000 + "</div>")["text"]

    assert 290 < len(text) <= 300
    assert set(text.split()) == {"word"}


def test_a_preview_image_takes_the_texts_of_the_page() -> None:
    html = """<meta property="og:image" content="/og.jpg"><meta property="og:title" content="Mugs">
        <meta property="og:description" content="All our mugs">
        <meta property="og:image" content="/small.jpg"><meta property="og:image:width" content="48">
        <meta property="og:image" content="/mug.jpg">
        <meta property="og:image:alt" content="A blue mug"><img src="/mug.jpg" alt="Mug">"""

    pairs = image_pairs(html, PAGE)

    found = {pair["image"]["url"]: (pair["extra"]["text_source"], pair["text"]) for pair in pairs}
    assert found == {
        "https://example.org/og.jpg": ("og:title", "Mugs"),
        "https://example.org/mug.jpg": ("alt", "Mug"),
    }


@pytest.mark.parametrize(
    ("html", "language"),
    [
        ('<html lang="en"><img src=m.jpg alt=x>', "en"),
        ('<html lang="en"><p lang="de-AT"><img src=m.jpg alt=x>', "de-AT"),
        ('<html lang="pt_BR"><img src=m.jpg alt=x>', "pt-BR"),
        ('<html xml:lang="fr"><img src=m.jpg alt=x>', "fr"),
        ('<html lang="en"><p lang=""><img src=m.jpg alt=x>', None),
        ('<html lang="English, of course"><img src=m.jpg alt=x>', None),
        ("<img src=m.jpg alt=x>", None),
    ],
)
def test_the_language_is_the_nearest_that_is_declared(html: str, language: str | None) -> None:
    assert only(html).get("language") == language


@pytest.mark.parametrize(
    ("links", "licence"),
    [
        (f'<a rel="nofollow License" href="{CC_BY}">CC</a>', CC_BY),
        ('<link rel="license" href="/terms">', "https://example.org/terms"),
        (f'<footer><a href="{CC_BY}">CC</a></footer>', CC_BY),
        (f'<a rel="license" href="/terms">T</a><a href="{CC_BY}">Text</a>', PAGE[:-5] + "terms"),
        (f'<a href="{CC_BY}">one</a><a href="{CC_0}">other</a>', None),
        ('<a href="https://creativecommons.org/about">CC</a>', None),
        ('<a rel="license">none</a>', None),
    ],
)
def test_a_page_with_one_licence_gives_it_to_its_images(links: str, licence: str | None) -> None:
    assert only(f"{links}<img src=m.jpg alt=x>").get("licence") == licence


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        (f'"{CC_0}"', CC_0),
        ('{"@type": "CreativeWork", "url": "/terms"}', "https://example.org/terms"),
        ('["CC BY 4.0"]', "CC BY 4.0"),
        ('""', CC_BY),
        ('"javascript:alert()"', "javascript:alert()"),
        ('"//["', CC_BY),
        (f'"{CC_0}"}}, {{"@type": "ImageObject", "url": "b.jpg", "license": "/own"', None),
    ],
)
def test_json_ld_states_the_licence_of_its_image(licence: str, expected: str | None) -> None:
    html = f"""<a rel=license href={CC_BY}>page</a><img srcset="m.jpg, b.jpg 2x" alt=x>
        <img src=other.jpg alt=y><script type="application/ld+json">
        [{{"@type": "ImageObject", "contentUrl": "m.jpg", "license": {licence}}}]</script>"""

    licences = {pair["text"]: pair.get("licence") for pair in image_pairs(html, PAGE)}

    assert licences == {"x": expected, "y": CC_BY}


def test_a_licence_in_a_figure_overrides_that_of_the_page() -> None:
    html = f"""<a rel=license href={CC_BY}>page</a><img src=page.jpg alt=x>
        <figure><img src=own.jpg alt=y><a rel=license href={CC_0}>own</a></figure>"""

    licences = {pair["text"]: pair["licence"] for pair in image_pairs(html, PAGE)}

    assert licences == {"x": CC_BY, "y": CC_0}
