"""The terms of an RSL licence say whether training is free, prohibited, or needs a contract."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaption.schemas.opt_outs.rsl import Rsl, linked_licences

URL = "https://img.example/a/b.jpg"
PROHIBITS = '<prohibits type="usage">ai-train</prohibits>'


def document(terms: str, content: str = 'url="/"') -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><rsl xmlns="https://rslstandard.org/rsl">'
        f"<content {content}><license>{terms}</license></content></rsl>"
    )


def refusal(written: str | bytes, url: str = URL) -> str | None:
    licence = Rsl.parse(written)
    assert licence is not None
    return licence.refusal(url)


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        (PROHIBITS, "prohibits ai-train"),
        ('<prohibits type="usage">all</prohibits>', "prohibits all"),
        ('<prohibits type="usage"> ai-input\n ai-all </prohibits>', "prohibits ai-all"),
        ("<prohibits>train-ai, search</prohibits>", "prohibits train-ai"),
        ('<prohibits type="usage">AI_Training</prohibits>', "prohibits AI_Training"),
        (f'<permits type="usage">all</permits>{PROHIBITS}', "prohibits ai-train"),
        ('<permits type="usage">search</permits>', "permits only search"),
        ('<permits type="usage">search  ai-input</permits>', "permits only search ai-input"),
        ('<permits type="usage"/>', "permits only "),
        (
            '<payment type="crawl"><amount currency="USD">1</amount></payment>',
            "asks for payment: crawl",
        ),
        (
            '<permits type="usage">ai-train</permits><payment type="training"/>',
            "asks for payment: training",
        ),
        ("<payment type='Subscription'/>", "asks for payment: subscription"),
        ("<custom>x</custom><permits>search</permits>", "permits only search"),
    ],
)
def test_terms_that_are_no_permission_to_train(terms: str, said: str) -> None:
    assert refusal(document(terms)) == said


@pytest.mark.parametrize(
    "terms",
    [
        "",
        '<permits type="usage">all</permits>',
        '<permits type="usage">ai-all</permits>',
        '<permits type="usage">search ai-train</permits>',
        '<prohibits type="usage">search</prohibits>',
        '<prohibits type="usage">ai-input ai-index</prohibits>',
        '<prohibits type="geo">all</prohibits>',
        '<prohibits type="user">commercial</prohibits>',
        '<permits type="geo">EU</permits>',
        '<permits type="usage">ai-train</permits><payment type="attribution"/>',
        '<payment type="free"/>',
        '<payment type="contribution"/>',
        "<payment/>",
        f"<!-- {PROHIBITS} -->",
    ],
)
def test_terms_that_permit_training(terms: str) -> None:
    assert refusal(document(terms)) is None


@pytest.mark.parametrize(
    ("content", "matching"),
    [
        ("", True),
        ('url=""', True),
        ('url="/a/"', True),
        ('url="/*.jpg$"', True),
        ('url="https://img.example/a"', True),
        ('URL="/"', True),
        ('url="/b"', False),
        ('url="/*.png"', False),
    ],
)
def test_a_licence_is_about_the_paths_of_its_content(content: str, matching: bool) -> None:
    assert refusal(document(PROHIBITS, content)) == ("prohibits ai-train" if matching else None)


def test_a_licence_that_is_given_by_a_server_alone_is_no_permission() -> None:
    written = document("<permits>all</permits>", 'url="/" server="https://rsl.example"')

    assert refusal(written) == "needs a licence of https://rsl.example"


def contents(*pairs: tuple[str, str]) -> str:
    each = (f'<content url="{url}"><license>{terms}</license></content>' for url, terms in pairs)
    return f'<rsl xmlns="https://rslstandard.org/rsl">{"".join(each)}</rsl>'


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([("/", PROHIBITS), ("/a/", "<permits>all</permits>")], None),
        ([("/", "<permits>all</permits>"), ("/a/", PROHIBITS)], "prohibits ai-train"),
        ([("/", '<payment type="crawl"/>'), ("/", "<permits>all</permits>")], None),
        ([("/", "<permits>all</permits>"), ("/", PROHIBITS)], "prohibits ai-train"),
        ([("/", "<permits>search</permits>"), ("/", PROHIBITS)], "prohibits ai-train"),
    ],
)
def test_the_longest_location_decides_and_then_what_prohibits(
    pairs: list[tuple[str, str]], said: str | None
) -> None:
    assert refusal(contents(*pairs)) == said


@pytest.mark.parametrize(
    "written",
    [
        "\n" + document(PROHIBITS),
        document(PROHIBITS).encode(),
        document(PROHIBITS).replace("UTF-8", "UTF-16").encode("utf-16"),
        b"\xef\xbb\xbf" + document(PROHIBITS).encode(),
        f'<r:rsl xmlns:r="https://rslstandard.org/rsl"><r:content><r:license>{PROHIBITS}'
        "</r:license></r:content></r:rsl>",
        '<rss xmlns:rsl="https://rslstandard.org/rsl"><channel><item><rsl:content url="/a/b.jpg">'
        "<rsl:license><rsl:prohibits>all</rsl:prohibits></rsl:license></rsl:content></item>"
        "</channel></rss>",
        f"<RSL><Content><License>{PROHIBITS}</License></Content></RSL>",
    ],
)
def test_a_document_is_read_in_each_form(written: str | bytes) -> None:
    assert str(refusal(written)).startswith("prohibits ")


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"All rights reserved",
        b"<html><body>CC BY 4.0</body></html>",
        b"<!DOCTYPE html><html><p>prohibits ai-train",
        b'{"license": "MIT"}',
        b"<feed><content>prohibits</content></feed>",
    ],
)
def test_what_is_no_rsl_says_nothing(written: bytes) -> None:
    assert Rsl.parse(written) is None


@pytest.mark.parametrize(
    "written",
    [
        document(PROHIBITS)[:-9],
        document("<terms>A & B</terms>"),
        '<rsl><!DOCTYPE x [<!ENTITY a "b">]></rsl>',
    ],
)
def test_a_broken_licence_is_told_from_none(written: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Rsl.parse(written)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (
            '<https://e.org/l.xml>; rel="license"; type="application/rsl+xml"',
            ["https://e.org/l.xml"],
        ),
        ("</l.xml>;type=application/rsl+xml;rel=license", ["/l.xml"]),
        (
            '<a.css>; rel=preload, <b,c.xml>; rel="license"; type="APPLICATION/RSL+XML"; x="y, z"',
            ["b,c.xml"],
        ),
        ('<https://creativecommons.org/licenses/by/4.0/>; rel="license"', []),
        ('<l.xml>; rel="describedby"; type="application/rsl+xml"', []),
        ("application/rsl+xml license", []),
        ("<" * 5000 + ", <" * 5000, []),
    ],
)
def test_licences_are_found_in_link_headers(header: str, found: list[str]) -> None:
    assert list(linked_licences([("link", header), ("server", header)])) == found


@given(st.text(), st.binary())
def test_any_document_can_be_read(text: str, content: bytes) -> None:
    for written in (text, content):
        assert Rsl.parse(written) is None
