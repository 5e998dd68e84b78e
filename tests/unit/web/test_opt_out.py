"""Opt-out signals of a page are recorded as they were found, and nothing else is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaption.producers.web import TdmRep, opt_out_signals
from kaption.producers.web.document import Document
from kaption.producers.web.tdm_rep import Reservation

PAGE = "https://example.org/shop/mugs?page=2"


def signals(
    html: str = "",
    headers: list[tuple[str, str]] | None = None,
    tdm_rep: object = None,
    agents: tuple[str, ...] = ("MyBot", "acme-images"),
) -> list[tuple[str, str]]:
    rules = None if tdm_rep is None else TdmRep.parse(json.dumps(tdm_rep))
    found = opt_out_signals(Document(html, PAGE), headers or [], rules, agents)
    return [(signal.kind, signal.value) for signal in found]


@pytest.mark.parametrize(
    ("name", "content", "value"),
    [
        ("robots", "noai, noimageai", "noai, noimageai"),
        ("ROBOTS", "index,NoImageIndex ,follow", "noimageindex"),
        ("robots", "none", "none"),
        ("MYBOT", "noai", "mybot: noai"),
        ("acme-images", "max-snippet:5, noindex", "acme-images: noindex"),
        ("kaption", "noai", "kaption: noai"),
    ],
)
def test_robots_in_a_page(name: str, content: str, value: str) -> None:
    html = f'<meta name="{name}" content="{content}">'

    assert signals(html) == [("robots_meta", value)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("robots", "index, follow, max-image-preview:none"),
        ("robots", "noarchive"),
        ("googlebot", "noai"),
        ("GPTBot", "none"),
        ("mybots", "noai"),
        ("description", "none"),
        ("keywords", "noai, noindex"),
        ("tdm-reservation", "0"),
        ("tdm-reservation", "yes"),
        ("", ""),
    ],
)
def test_other_words_in_a_page_are_no_signals(name: str, content: str) -> None:
    assert signals(f'<meta name="{name}" content="{content}">') == []


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("noai", ["noai"]),
        ("noindex, noai, noindex", ["noindex, noai"]),
        ("mybot: noindex, noai", ["mybot: noindex, noai"]),
        ("MyBot:noai", ["mybot: noai"]),
        ("*: noai", ["noai"]),
        ("kaption: noai", ["kaption: noai"]),
        ("noai, mybot: noindex", ["noai", "mybot: noindex"]),
        # Directives for another crawler, up to the next name
        ("otherbot: noai", []),
        ("otherbot: noindex, noai", []),
        ("noml, otherbot: noindex, noai", ["noml"]),
        ("otherbot: noindex, noai, acme-images: noindex", ["acme-images: noindex"]),
        ("otherbot: max-snippet: 5, noai, mybot: none", ["mybot: none"]),
        ("mybot: noai, otherbot: noindex, *: noml", ["mybot: noai", "noml"]),
        # Directives with a colon of their own
        ("unavailable_after: 25 Jun 2030 15:00:00 PST, noai", ["noai"]),
        ("unavailable_after: Tue, 25-Jun-30 15:00:00 UTC, noai", ["noai"]),
        ("unavailable_after: 2030-06-25T15:00:00+01:00, noai", ["noai"]),
        ("otherbot: unavailable_after: 25 Jun 2030 15:00:00 PST, noai", []),
        ("max-snippet:-1, max-video-preview: 3, noai", ["noai"]),
        ("not-yet-known: 5, noai", ["noai"]),
        ("max-image-preview: none", []),
        ("all", []),
        (":,:", []),
    ],
)
def test_robots_in_a_header(header: str, values: list[str]) -> None:
    found = signals(headers=[("X-Robots-Tag", header)])

    assert found == [("x_robots_tag", value) for value in values]


def test_each_signal_is_recorded_once() -> None:
    headers = [("x-robots-tag", "noai"), ("X-Robots-Tag", "noai"), ("X-Robots-Tag", "noml")]

    assert signals(headers=headers) == [("x_robots_tag", "noai"), ("x_robots_tag", "noml")]


def test_directives_for_other_crawlers_are_no_signals() -> None:
    html = '<meta name="mybot" content="noai"><meta name="robots" content="noimageai">'

    found = signals(html, [("X-Robots-Tag", "mybot: noai")], agents=())

    assert found == [("robots_meta", "noimageai")]


def meta(value: int) -> str:
    return f'<meta name="tdm-reservation" content="{value}">'


@pytest.mark.parametrize(
    ("page", "header", "site", "reserved"),
    [
        (1, None, None, True),
        (None, 1, None, True),
        (None, None, 1, True),
        (0, 1, 1, False),
        (None, 0, 1, False),
        (1, 0, 0, True),
        (None, None, 0, False),
    ],
)
def test_the_page_overrides_the_header_and_the_header_the_site(
    page: int | None, header: int | None, site: int | None, reserved: bool
) -> None:
    found = signals(
        "" if page is None else meta(page),
        [] if header is None else [("TDM-Reservation", str(header))],
        [] if site is None else [{"location": "/", "tdm-reservation": site}],
    )

    assert found == ([("tdm_reservation", "1")] if reserved else [])


def test_the_policy_is_recorded_too() -> None:
    headers = [("tdm-reservation", "1"), ("tdm-policy", "https://example.org/tdm.json")]

    assert signals(headers=headers) == [("tdm_reservation", "1 https://example.org/tdm.json")]


@pytest.mark.parametrize(
    ("location", "url", "matches"),
    [
        ("/", "https://example.org", True),
        ("/shop", "https://example.org/shop/mugs", True),
        ("/shop/", "https://example.org/shop", False),
        ("/*.jpg", "https://example.org/a/b.jpg?x", True),
        ("/*.jpg$", "https://example.org/a/b.jpg?x", False),
        ("/*.jpg$", "https://example.org/a.jpg/b.jpg", True),
        ("/a$", "https://example.org/ab", False),
        ("/*/b*c$", "https://example.org/a/b/c", True),
        ("/ü", "https://example.org/%C3%BC", True),
        ("*", "https://example.org/any", True),
    ],
)
def test_locations_are_patterns_as_in_robots_txt(location: str, url: str, matches: bool) -> None:
    rules = TdmRep.parse(json.dumps([{"location": location, "tdm-reservation": 1}]))

    assert rules.reservation(url) == (Reservation(reserved=True) if matches else None)


def test_the_longest_location_decides() -> None:
    rules = TdmRep.parse(
        json.dumps(
            [
                {"location": "/", "tdm-reservation": 1, "tdm-policy": "https://e.org/p"},
                {"location": "/free/", "tdm-reservation": 0},
            ]
        )
    )

    assert rules.reservation("https://e.org/free/x") == Reservation(reserved=False)
    assert rules.reservation("https://e.org/x") == Reservation(True, "https://e.org/p")


@pytest.mark.parametrize("content", [b"<html>", b"{}", b"[1]", b"\xff", b"[" * 100_000])
def test_a_file_that_is_no_tdmrep_json_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        TdmRep.parse(content)


@given(st.text(), st.lists(st.tuples(st.just("x-robots-tag"), st.text())))
def test_any_page_and_any_header_can_be_read(html: str, headers: list[tuple[str, str]]) -> None:
    opt_out_signals(Document(html, PAGE), headers)
