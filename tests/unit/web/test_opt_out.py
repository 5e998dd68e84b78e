"""Opt-out signals of a page are recorded as they were found, and nothing else is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaption.producers.web import TdmRep, opt_out_signals
from kaption.producers.web.document import Document
from kaption.schemas.opt_outs.tdm_rep import Reservation

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
        ("robots, googlebot", "noai", "noai"),
        ("googlebot;MyBot", "noai", "mybot: noai"),
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
        ("googlebot, bingbot", "noai"),
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
        ("all: noai", ["noai"]),
        ("DisallowAITraining", ["disallowaitraining"]),
        ("mybot: index, disallow-ai-training", ["mybot: disallowaitraining"]),
        ("googlebot: DisallowAITraining", []),
        ("noai, mybot: noindex", ["noai", "mybot: noindex"]),
        # Several headers that a library has joined
        ("otherbot: noai\nmybot: noai", ["mybot: noai"]),
        ("otherbot: noindex\nnoai", ["noai"]),
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
        ("max-image-preview:none", []),
        # Other separators, quotes and versions
        ("noai;noimageai", ["noai, noimageai"]),
        ('index "noai" follow', ["noai"]),
        ("otherbot/2.0: noindex noai; mybot/1.1: noai noml", ["mybot: noai, noml"]),
        ("no-ai, No ImageAI", ["noai, noimageai"]),
        ("'noai'", ["noai"]),
        ("[noimageai]", ["noimageai"]),
        ("noai=1", ["noai"]),
        ("mybot: noai: true", ["mybot: noai"]),
        ("noai=0, noml: false", []),
        ("noai|noimageai", ["noai, noimageai"]),
        ("noai/noimageai", ["noai, noimageai"]),
        ("noai + noimageai & noml", ["noai, noimageai, noml"]),
        ("noai\\, noml", ["noai, noml"]),
        ("\u201cnoai\u201d, \u2018noml\u2019", ["noai, noml"]),
        ("noai.", ["noai"]),
        ("noimageai!", ["noimageai"]),
        ("no-image-ai", ["noimageai"]),
        ("no_image_ai, noimage-ai", ["noimageai"]),
        ("noai=y, noml: *", ["noai, noml"]),
        ("otherbot: noai|noml", []),
        ("otherbot/1.5: \u201cnoai\u201d", []),
        ("noaitraining", ["disallowaitraining"]),
        ("no-ai-training, no-ml-train", ["disallowaitraining"]),
        ("no training; noai", ["disallowaitraining, noai"]),
        ("otherbot: no-train", []),
        ("training, notraining-data", []),
        ("noaiplease, noai-preview, notranslate.", []),
        ("otherbot: no-ai", []),
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


@pytest.mark.parametrize(
    ("html", "headers", "found"),
    [
        ("", [("Content-Usage", "train-ai=n")], [("content_usage", "train-ai=n")]),
        (
            "",
            [("Content-Usage", "bots=y"), ("content-usage", "ai=n")],
            [("content_usage", "bots=y, ai=n")],
        ),
        ("", [("Content-Signal", "ai-train=no")], [("content_signal", "ai-train=no")]),
        ('<meta name="content-usage" content="bots=n">', [], [("content_usage", "bots=n")]),
        ('<meta http-equiv="Content-Usage" content="ai=n">', [], [("content_usage", "ai=n")]),
        ('<meta http-equiv="X-Robots-Tag" content="noai">', [], [("x_robots_tag", "noai")]),
        ('<meta property="robots" content="noai">', [], [("robots_meta", "noai")]),
        ('<meta name=" Robots\n" content="\u201cnoai\u201d">', [], [("robots_meta", "noai")]),
        ('<meta property="TDM_Reservation" content="1">', [], [("tdm_reservation", "1")]),
        ('<meta http-equiv="refresh" content="train-ai=n">', [("Content-Usage", "search=n")], []),
        ('<meta name="content-signal">', [("Content-Signal", "ai-train=yes")], []),
        ('<meta name="noai">', [], [("content_usage", "noai")]),
        (
            '<meta name="ai-training" content="disallow">',
            [],
            [("content_usage", "ai-training: disallow")],
        ),
        ('<meta name="robot" content="noai">', [], [("robots_meta", "noai")]),
        ('<meta name="bots" value="noai">', [], [("robots_meta", "noai")]),
        ('<meta itemprop="robots" content="noai">', [], [("robots_meta", "noai")]),
        ('<meta name="noai" content="false"><meta name="ai-training" content="yes">', [], []),
        ('<meta name="training" content="no"><meta name="ai" content="no">', [], []),
        ('<meta itemprop="name" content="noai"><meta name="noai-list" content="1">', [], []),
    ],
)
def test_preferences_against_training_are_signals(
    html: str, headers: list[tuple[str, str]], found: list[tuple[str, str]]
) -> None:
    assert signals(html, headers) == found


LINK = '<link rel="license" type="application/rsl+xml" href="{}">'
INSIDE = """<script type="application/rsl+xml"><rsl xmlns="https://rslstandard.org/rsl"><content
    url="{}"><license>{}</license></content></rsl></script>"""
UNREAD = [("rsl_licence_unread", "https://example.org/license.xml")]
HEADER = '<https://example.org/license.xml>; rel="license"; type="application/rsl+xml"'


@pytest.mark.parametrize(
    ("html", "headers", "found"),
    [
        (LINK.format("/license.xml"), [], UNREAD),
        (LINK.format("https://example.org/license.xml") * 2, [("Link", HEADER)], UNREAD),
        ("", [("link", f"</a.css>; rel=preload, {HEADER}")], UNREAD),
        (f"<meta http-equiv='Link' content='{HEADER}'>", [], UNREAD),
        (INSIDE.format("", "<prohibits>all</prohibits>"), [], [("rsl_licence", "prohibits all")]),
        (
            INSIDE.format("/shop/", '<permits type="usage">search</permits>'),
            [],
            [("rsl_licence", "permits only search")],
        ),
        (INSIDE.format("", "<permits>A & B</permits>"), [], None),
        (INSIDE.format("", "<permits>all</permits>"), [], []),
        (INSIDE.format("/blog/", "<prohibits>all</prohibits>"), [], []),
        ("<script type='application/rsl+xml'></script>", [], []),
        (LINK.format(""), [], []),
        ('<link rel="license" href="https://creativecommons.org/licenses/by/4.0/">', [], []),
        ('<link rel="alternate" type="application/rsl+xml" href="/feed.xml">', [], []),
        ("", [("Link", '<https://creativecommons.org/licenses/by/4.0/>; rel="license"')], []),
    ],
)
def test_a_licence_of_rsl_is_a_signal(
    html: str, headers: list[tuple[str, str]], found: list[tuple[str, str]] | None
) -> None:
    said = signals(html, headers)

    assert [kind for kind, _ in said] == ["rsl_licence_unread"] if found is None else said == found


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("X_Robots_Tag", "noai", ("x_robots_tag", "noai")),
        ("tdm_reservation", "1", ("tdm_reservation", "1")),
        ("CONTENT_USAGE", "train-ai=n", ("content_usage", "train-ai=n")),
        ("Content_Signal", "ai-train=no", ("content_signal", "ai-train=no")),
        ("X-Robots-Tags", "noai", ("x_robots_tag", "noai")),
        ("X-Robot-Tag", "noai", ("x_robots_tag", "noai")),
        ("X-Robots", "noai", ("x_robots_tag", "noai")),
        ("tdm:reservation", "1", ("tdm_reservation", "1")),
        ("AI-Train", "no", ("content_usage", "ai-train: no")),
        ("noai", "1", ("content_usage", "noai: 1")),
        ("Robots-Tag", "noai", ("x_robots_tag", "noai")),
        ("TDMReservation", "1", ("tdm_reservation", "1")),
        ("X-TDM-Reservation", "1", ("tdm_reservation", "1")),
        ("Content-Signals", "ai-train=no", ("content_signal", "ai-train=no")),
        ("X-Content-Usage", "train-ai=n", ("content_usage", "train-ai=n")),
    ],
)
def test_a_name_that_is_spelled_otherwise_counts(
    name: str, value: str, found: tuple[str, str]
) -> None:
    assert signals(headers=[(name, value)]) == [found]
    if "robot" not in name.lower():
        assert signals(f'<meta name="{name}" content="{value}">') == [found]


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
        ("shop/", "https://example.org/shop/a", True),
        ("https://example.org/shop", "https://example.org/shop/a", True),
        ("/a", "https:\\\\example.org\\a\\b.jpg", True),
    ],
)
def test_locations_are_patterns_as_in_robots_txt(location: str, url: str, matches: bool) -> None:
    rules = TdmRep.parse(json.dumps([{"location": location, "tdm-reservation": 1}]))

    assert rules.reservation(url) == (Reservation(reserved=True) if matches else None)


@pytest.mark.parametrize(
    "content",
    [
        '\ufeff[{"location": "/", "tdm-reservation": 1}]',
        '[null, {"location": ["/a", "/b/*.jpg"], "tdm-reservation": true}]',
        '{"Location": "/b", "TDM-Reservation": "1"}',
        '[{"tdm-reservation": 1.0}]',
        '{"tdm_reservation": 1}',
        '[{"location": "\\\\b\\\\", "reservation": 1}]',
        '[{"location": "/b", "tdm:reservation": 1}]',
        '[{"location": "/b", "tdmReservation": 1}]',
        '[{"location": "/b/**/*.jpg", "tdm-reservation": 1}]',
        '[{"location": "/**/c.jpg", "TDM Reservation": 1}]',
        '[{"location": null, "TDM_Reservation": "\u20181\u2019"}]',
        '{"tdmrep": [{"location": "/", "tdm-reservation": 1}]}',
        '[[{"location": "./b/", "tdm-reservation": 1}]]',
        '[{"location": "/", "tdm-reservation": 1,},]',
        '// ours\n[{"location": "/b", "tdm-reservation": 1}] // all of it\n',
        '[\n  # "photos"\n  {"location": "/b/*.jpg", /* isn\'t free: */ "tdm-reservation": 1}\n]',
        "[{'location': '/b', 'tdm-reservation': 1}]",
        "[{location: '/b', tdm-reservation: 1}]",
        "[{\u201clocation\u201d: \u201c/b\u201d, \u201ctdm-reservation\u201d: \u201c1\u201d}]",
        '[{"location": "/x", "tdm-reservation": 0} {"location": "/b" "tdm-reservation": 1}]',
        '{"location": "/x", "tdm-reservation": 0},\n{"location": "/b", "tdm-reservation": 1}',
        '[{"location": "/b", "tdm-reservation": 1}',
        '[{"location": ["/x", "/b",], "tdm-reservation": True}]',
        '\ufeff/* ours */ [{"tdm-policy": "https:\\/\\/e.org\\/p", "tdm-reservation": 1, }]',
        '[{"location": "/b", "tdm-reservation": 1, "note": "caf\u00e9\n"}]',
        '```json\n[{"location": "/b", "tdm-reservation": 1}]\n```',
        "- location: /x\n  tdm-reservation: 0\n- location: /b\n  tdm-reservation: 1\n",
    ],
)
def test_a_careless_tdmrep_json_reserves_too(content: str) -> None:
    for form in (
        content,
        content.encode(),
        content.encode("utf-16"),
        content.encode("latin-1", "ignore"),
    ):
        said = TdmRep.parse(form).reservation("https://e.org/b/c.jpg")

        assert said is not None
        assert said.reserved


@pytest.mark.parametrize(
    "content",
    [
        '[{"location": "/", "tdm-reservation": 0,}]',
        '[{"location": "/x", "tdm-reservation": 1,} /* and no more */]',
        '// {"location": "/", "tdm-reservation": 1}\n[{"location": "/x", "tdm-reservation": 0}]',
        '[{"location": "/", /* "tdm-reservation": 1 */ "tdm-reservation": 0}]',
        "[{'location': '/', 'tdm-reservation': 1} {'location': '/b', 'tdm-reservation': 0}]",
    ],
)
def test_a_careless_tdmrep_json_allows_too(content: str) -> None:
    said = TdmRep.parse(content).reservation("https://e.org/b/c.jpg")

    assert said is None or not said.reserved


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["1;x=y"], [("tdm_reservation", "1")]),
        (['"1"'], [("tdm_reservation", "1")]),
        (["0", "1"], [("tdm_reservation", "1")]),
        (["0, 1"], [("tdm_reservation", "1")]),
        (["true"], [("tdm_reservation", "1")]),
        (["'1'"], [("tdm_reservation", "1")]),
        (["\u201c1\u201d"], [("tdm_reservation", "1")]),
        (["?1"], [("tdm_reservation", "1")]),
        (["01"], [("tdm_reservation", "1")]),
        (["1.00"], [("tdm_reservation", "1")]),
        (["[1]"], [("tdm_reservation", "1")]),
        (["\uff11"], [("tdm_reservation", "1")]),
        (["1 https://e.org/terms"], [("tdm_reservation", "1")]),
        (["1 (all rights reserved)"], [("tdm_reservation", "1")]),
        (["0 (free to use)"], []),
        (["?0"], []),
        (["00"], []),
        (["1.5"], []),
        (["11"], []),
        (["-1"], []),
        (["0"], []),
        (["10"], []),
        (["maybe"], []),
    ],
)
def test_a_careless_header_reserves_too(values: list[str], found: list[tuple[str, str]]) -> None:
    assert signals(headers=[("TDM-Reservation", value) for value in values]) == found


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


@pytest.mark.parametrize(
    "content",
    [
        b"<html>",
        b"{}",
        b"[1]",
        b"\xff",
        b"[" * 100_000,
        b"",
        b"Not found: see /",
        b'<script>let a = {location: "/", "tdm-reservation": 1}</script>',
        b"{location: '/', reserved: 1}",
    ],
)
def test_a_file_that_is_no_tdmrep_json_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        TdmRep.parse(content)


@pytest.mark.slow
@given(st.text(), st.lists(st.tuples(st.just("x-robots-tag"), st.text())))
def test_any_page_and_any_header_can_be_read(html: str, headers: list[tuple[str, str]]) -> None:
    opt_out_signals(Document(html, PAGE), headers)
