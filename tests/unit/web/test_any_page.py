"""Whatever a page holds, reading it raises nothing, ends soon, and gives valid pairs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaption.producers.identity import identified
from kaption.producers.web import image_pairs
from kaption.schemas import RawPair, decode, encode

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
    ]
)
_ATTRIBUTES = st.sampled_from(
    ["src", "srcset", "data-src", "alt", "title", "lang", "aria-labelledby", "id", "style"]
) | st.sampled_from(["rel", "width", "href", "name", "property", "content", "type", "role"])
_TAGS = st.sampled_from(
    ["img", "figure", "figcaption", "picture", "source", "a", "base", "meta", "p", "html"]
) | st.sampled_from(["noscript", "template", "script", "svg", "!--", "?php", "/p", "/figure"])


@st.composite
def _element(draw: st.DrawFn) -> str:
    attributes = draw(st.lists(st.tuples(_ATTRIBUTES, _VALUES), max_size=4))
    written = " ".join(f'{name}="{value}"' for name, value in attributes)
    return f"<{draw(_TAGS)} {written}>{draw(st.text(max_size=10))}"


def valid(html: str) -> list[dict[str, Any]]:
    """The pairs of a page, each of which can be published."""
    pairs = image_pairs(html, PAGE, headers=[("X-Robots-Tag", html[:100])])
    for pair in pairs:
        decode(encode(identified(pair)), RawPair)
    return pairs


@given(st.lists(_element(), max_size=12).map("".join))
def test_pages_of_all_kinds_give_valid_pairs(html: str) -> None:
    valid(html)


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


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 100_000 + "<img src=m.jpg alt=x>",
        "<figure><p id=a>" + "w " * 9_999 + "<img src=m.jpg alt=x aria-labelledby='a a'>" * 50_000,
        "<picture>" + "<source srcset='a 1w'>" * 50_000 + "<img src=m.jpg alt=x>" * 2_000,
        "<img alt=x srcset='" + "a ( " * 100_000 + "'>",
        "<img alt=x src=m.jpg><!-- -->" * 50_000,
        "<meta property=og:image content=m.jpg><meta property=og:title content=t>" * 20_000,
    ],
    ids=["deep", "labels", "sources", "srcset", "comments", "shared"],
)
def test_a_hostile_page_costs_little(html: str) -> None:
    assert len(image_pairs(html, PAGE)) <= 1_000
