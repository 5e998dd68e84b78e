"""Whatever a page holds, reading it raises nothing, ends soon, and gives valid pairs."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaption.producers.identity import identified
from kaption.producers.web import image_pairs
from kaption.schemas import RawPair, decode, encode

pytestmark = pytest.mark.slow

PAGE = "https://example.org/"
_VALUES = st.text(max_size=20) | st.sampled_from(
    [
        "m.jpg",
        "a.jpg 2x, b.jpg 9w",
        "http://[",
        "data:image/png;base64,AAAA",
        "&#0;",
        "\ud800",
        "en",
        "img",
        "image/png",
        "og:image",
        "background:url('m.jpg')",
    ]
)
_ATTRIBUTES = st.sampled_from(
    ["src", "srcset", "data-src", "alt", "title", "lang", "aria-labelledby", "id", "style", "data"]
) | st.sampled_from(["rel", "width", "href", "name", "property", "content", "type", "role"])
_TAGS = st.sampled_from(
    ["img", "figure", "figcaption", "picture", "source", "a", "base", "meta", "p", "html"]
) | st.sampled_from(
    ["noscript", "template", "script", "svg", "!--", "?php", "/p", "/figure", "object", "amp-img"]
)


@st.composite
def _element(draw: st.DrawFn) -> str:
    attributes = draw(st.lists(st.tuples(_ATTRIBUTES, _VALUES), max_size=4))
    written = " ".join(f'{name}="{value}"' for name, value in attributes)
    return f"<{draw(_TAGS)} {written}>{draw(st.text(max_size=10))}"


_JSON_LEAVES = _VALUES | st.none() | st.booleans() | st.floats() | st.just("ImageObject")
_KEYS = st.sampled_from(
    ["@type", "image", "url", "contentUrl", "caption", "name", "width", "@id", "license"]
)


def _json_around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4)


def valid(html: str) -> list[dict[str, Any]]:
    """The pairs of a page, each of which can be published."""
    pairs = image_pairs(html, PAGE, headers=[("X-Robots-Tag", html[:100])])
    for pair in pairs:
        decode(encode(identified(pair)), RawPair)
    return pairs


@given(st.lists(_element(), max_size=12).map("".join))
def test_pages_of_all_kinds_give_valid_pairs(html: str) -> None:
    valid(html)


@given(st.recursive(_JSON_LEAVES, _json_around, max_leaves=12))
def test_json_ld_of_all_kinds_gives_valid_pairs(data: object) -> None:
    valid(f'<script type="application/ld+json">{json.dumps(data)}</script>')


@given(st.text())
def test_any_text_is_a_page(text: str) -> None:
    valid(text)


@pytest.mark.parametrize("text", ["\x01", "\u2028\U0001f600", '"\\', "&#1;", "x"])
def test_long_and_odd_texts_fit_a_record(text: str) -> None:
    html = f"""<html lang=en><figure><figcaption>a{text * 3_000}</figcaption>
        <img src=m.jpg alt='b{text * 30_000}' title='c{text * 3_000}' aria-label='d{text * 3_000}'>
        </figure>"""

    (pair,) = valid(html)

    assert pair["extra"]["text_source"] == "alt"


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 100_000 + "<img src=m.jpg alt=x>",
        "<figure><p id=a>" + "w " * 9_999 + "<img src=m.jpg alt=x aria-labelledby='a a'>" * 50_000,
        "<picture>" + "<source srcset='a 1w'>" * 50_000 + "<img src=m.jpg alt=x>" * 2_000,
        "<img alt=x srcset='" + "a ( " * 100_000 + "'>",
        "<img alt=x src=m.jpg><!-- -->" * 50_000,
        "<meta property=og:image content=m.jpg><meta property=og:title content=t>" * 20_000,
        "<img alt=x src=s.png><noscript><img src=m.jpg>" * 5_000,
        "<div role=img aria-label=x>" * 50_000 + "<img src=m.jpg>",
        "<amp-img src=m.jpg alt=x>" * 20_000,
        "<a href=m.jpg><object data=m.jpg type=image/jpeg>" * 10_000,
        "<p>x<div alt='' data-src=/m.jpg>" * 10_000,
        "<div role=img aria-label=x style='" + "background:url(" * 200_000 + "'></div>",
        "<img alt=x data-a='" + "{width}/" * 900 + "' data-widths='" + "100 " * 90_000 + "'>",
        "<img alt=x " + " ".join(f"data-a{n}='/m.jpg?{n}'" for n in range(9_000)) + ">",
        "<script type='application/ld+json'>" + '{"image":[' * 900 + "</script>",
        "<script type='application/ld+json'>"
        + "["
        + '{"@type":"ImageObject","url":"m.jpg","name":"x"},' * 50_000
        + "1]</script>",
        "<img alt=x src='" + "//-->" * 200_000 + "' class='" + "a-" * 200_000 + "'>",
    ],
    ids=[
        *("deep", "labels", "sources", "srcset", "comments", "shared", "noscript", "roles"),
        *(
            "nested",
            "links",
            "blocks",
            "styles",
            "widths",
            "attributes",
            "json",
            "objects",
            "classes",
        ),
    ],
)
def test_a_hostile_page_costs_little(html: str) -> None:
    assert len(image_pairs(html, PAGE)) <= 1_000
