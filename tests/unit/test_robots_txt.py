"""robots.txt is read as RFC 9309 says, with the preferences about training in it."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaption.schemas.opt_outs.directives import refuses_training
from kaption.schemas.opt_outs.robots_txt import RobotsTxt, text_of

pytestmark = pytest.mark.slow

URL = "https://img.example/a/b%20c.jpg?w=5"


def kinds(content: str, url: str = URL, agent: str = "kaption") -> list[str]:
    return [signal.kind for signal in RobotsTxt(content, agent).signals(url, "robots.txt")]


@pytest.mark.parametrize(
    "content",
    [
        "User-agent: *\nDisallow: /",
        "\ufeffuser-agent:*\r\ndisallow:/a/\r\n",
        "User-Agent: Kaption/2.0 # ours\nDisallow: /*.jpg",
        "User-agent: other\nUser-agent: kaption\nDisallow: /a",
        "User-agent: other\nDisallow:\n\nUser-agent: *\nDisallow: /a/b c.jpg?w=5$",
        "User-agent: *\nAllow: /\nDisallow: /a/b%20c",
        "User-agent: *\nCrawl-delay: 5\nDisallow: /",
        "User-agent: *\nSitemap: https://x/\nDisallow: /",
        "User agent: *\nDisallow /a/",
        "User-agent: kaption bot\nDisallow: a/",
        "User-agent: kaption*\nDisallow: https://cdn.example/a/",
        "User-agent: *\nCrawl-delay: 9\nUser-agent: other\nDisallow: /",
        "User-agent: kaption\nAllow: /b\n\nUser-agent: x\n\nUser-agent: kaption\nDisallow: /",
        "User-agent: kaption\nAllow: /b\nUser-agent: x\nAllow: /\nUser-agent: kaption\nDisallow: /",
        "User-agent: *\nDisallow: /*?w=",
        "User-agent: GPTBot, Kaption, CCBot\nDisallow: /",
        'User-agent: "kaption"\nDisallow: /',
        "User-agent: ['x', '*']\nDisallow: /",
        "junk\n\x00\nUser-agent: *\n: \nDisallow : /",
        'User-agent: *\nDisallow: "/a/"',
        "User-agent: *\nDisallow: '/'",
        "User-agent: Mozilla/5.0 (compatible; Kaption/0.1; +https://x/)\nDisallow: /",
        "User-agent: GPTBot; kaption\nDisallow: /",
        "User-agent: GPTBot | CCBot | *\nDisallow: /",
        "User_agent: *\nDisallow: /",
        "User-agent: **\nDisallow: /",
        "User-agent *\nDisallow /a/",
        "User-agent kaption\nDisallow *.jpg",
        "User-agent: *\nAllow: /%2A\nDisallow: /",
        "User-agent: *\nAllow: /a%2a\nDisallow: /a/",
        "User-agent: all\nDisallow: /",
        "User-agents: *\nDis-allow: /",
        "User-agent: *\nDiasllow: /a/",
        "User-agent: *\nDisallowed: /a/",
        "User-agent\uff1a*\nDisallow\uff1a/",
        "User-agent: *\nDisallow: /b/ /a/",
        "User-agent: *\nDisallow: /b/, /a/",
        "User-agent: *\nDisallow: / ; everything",
        "User-agent: *\nDisallow: / // everything",
        "User-agent: * Disallow: /",
        "User-agent: x Disallow: /b User-agent: kaption Allow: /b Disallow: /a",
        "User-agent: *\\r\\nDisallow: /\\r\\n",
        "User-agent: *<br>Disallow: /<br />",
        "<pre>User-agent: *\nDisallow: /</pre>",
        "User-agent: \\*\nDisallow: /",
        "User\u2013agent: *\nDisallow: /",
        "User-agent: any\nDisallow: \\a\\",
    ],
)
def test_an_address_is_disallowed(content: str) -> None:
    assert kinds(content) == ["robots_txt"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "<html><body>Disallow: /</body></html>",
        "Disallow: /",
        "User-agent: *\nDisallow:",
        "User-agent: GPTBot\nUser-agent: CCBot\nDisallow: /",
        "User-agent: kap\nDisallow: /",
        "User-agent: GPTBot, CCBot\nDisallow: /",
        "User-agent: GPTBot; CCBot | Bytespider\nDisallow: /",
        "User-agent: Mozilla/5.0 (compatible; GPTBot/1.1)\nDisallow: /",
        "User-agent: GPTBot (not kaption)\nDisallow: /",
        'User-agent: *\nDisallow: ""',
        "User-agent: *\nDisallow: '/b'",
        "User-agent: *\nDisallow: /\n\nUser-agent: kaption\nAllow: /",
        "User-agent: *\nDisallow: /\n\nUser-agent: kaption\nDisallow:",
        "User-agent: *\nDisallow: /a\nAllow: /a",
        "User-agent: *\nDisallow: /\nAllow: /a/*.jpg",
        "User-agent: *\nDisallow: /A/\nDisallow: /*.jpg$\nDisallow: /b",
        "User-agent: *\nDisallow:\nUser-agent: other\nDisallow: /",
        "User-agent: *\nContent-Usage: search=y\nUser-agent: other\nDisallow: /",
        "User-agent: *\nDisallow: /b /c",
        "User-agent: *\nDisallow: /c /d folder/ a/",
        "User-agent: x Disallow: /",
        "User-agent: * # Disallow: /",
        "# User-agent: * Disallow: /",
        "<!-- User-agent: * Disallow: / -->",
        "User-agent: anybot\nDisallow: /",
        "User-agent: *\nDisallow: \\b\\",
    ],
)
def test_an_address_is_allowed(content: str) -> None:
    assert kinds(content) == []


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("User-Agent: *\nContent-Signal: search=yes,ai-train=no\nAllow: /", ["content_signal"]),
        ("User-Agent: *\nContent-Signal: search=yes, ai-train=yes", []),
        ("User-Agent: *\nContent-Signal: search=no, ai-input=no", []),
        ("User-Agent: *\nContent-Usage: train-ai=n", ["content_usage"]),
        ("User-Agent: *\nContent-Signals: ai-train=no", ["content_signal"]),
        ("User-Agent: *\nX-Content-Usage: train-ai=n", ["content_usage"]),
        ("User-Agent: *\nContent-Usage: /a/ train-ai=n", ["content_usage"]),
        ("User-Agent: *\nContent-Usage: /b/ train-ai=n", []),
        ("User-Agent: *\nContent-Usage: train-ai=n\nContent-Usage: /a/ train-ai=y", []),
        ("Content-Signal: ai-train=no\nUser-agent: kaption\nAllow: /", ["content_signal"]),
        ("User-Agent: GPTBot\nContent-Usage: train-ai=n", []),
        ("User-Agent: *\nAllow: /\nDisallowAITraining: /", ["content_usage"]),
        ("User-Agent: *\nDisallow-AI-Training: /a", ["content_usage"]),
        ("User-Agent: *\nDisallowAITraining: /b", []),
        ("User-Agent: *\nDisallowAITraining:", []),
        ("User-Agent: *\nDisallowAITraining: /\nAllowAITraining: /a/", []),
        ("User-Agent: GPTBot\nDisallowAITraining: /", []),
        ("User-Agent: * Content-Signal: ai-train=no Allow: /", ["content_signal"]),
        # Headers and directives in the wrong place
        ("User-Agent: *\nX-Robots-Tag: noai\nAllow: /", ["content_usage"]),
        ("User-Agent: *\nX-Robots-Tag: kaption: noimageai", ["content_usage"]),
        ("TDM-Reservation: 1", ["content_usage"]),
        ("User-Agent: *\nai-train: no", ["content_usage"]),
        ("User-Agent: *\nAI_Training: disallow", ["content_usage"]),
        ("User-Agent: *\nNoAI: /a/", ["content_usage"]),
        ("User-Agent: *\nNo-Image-AI: yes", ["content_usage"]),
        ("User-Agent: *\nX-Robots-Tag: noarchive, GPTBot: noai", []),
        ("User-Agent: *\nTDM-Reservation: 0", []),
        ("User-Agent: *\nai-train: yes\nNoAI: /b/", []),
        ("User-Agent: *\nNoAI: false", []),
        ("User-Agent: GPTBot\nai-train: no", []),
        (
            "User-Agent: *\nDisallow: /a\nContent-Usage: bots=n\nContent-Signal: ai-train=no",
            ["robots_txt", "content_usage", "content_signal"],
        ),
    ],
)
def test_preferences_are_read(content: str, found: list[str]) -> None:
    assert kinds(content) == found


LICENCE = "https://e.org/license.xml"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (f"License: {LICENCE}\nUser-agent: *\nAllow: /", [LICENCE]),
        (f"User-agent: *\nAllow: /\n{' '}license :{LICENCE} # ours", [LICENCE]),
        (f"User-agent: kaption\nLicence: {LICENCE}", [LICENCE]),
        (f"User-agent: GPTBot\nDisallow: /\n\nLicense: {LICENCE}", [LICENCE]),
        (
            f"User-agent: x\nDisallow: /\nSitemap: //e.org/s\nLicense: {LICENCE}",
            [LICENCE],
        ),
        ("User-agent: *\nLicense: /license.xml", ["/license.xml"]),
        (f"License: /a\nLicense: {LICENCE}\nLicense: /a", ["/a", LICENCE]),
        (f"License: /all\nUser-agent: kaption\nLicense: {LICENCE}", [LICENCE]),
        (f"License: {LICENCE}\nUser-agent: x\nLicense: /x", [LICENCE]),
        (f"User-agent: *\nLicense: /all\nUser-agent: kaption\nLicense: {LICENCE}", [LICENCE]),
        (f"License: {LICENCE} User-agent: * Allow: /", [LICENCE]),
        (f"User-agent: GPTBot\nLicense: {LICENCE}", []),
        (f"User-agent: GPTBot\n  # theirs\nLicense: {LICENCE}", []),
        (f"User-agent: *\nLicense: {LICENCE}\nUser-agent: kaption\nAllow: /", []),
        ("License: CC BY 4.0", []),
        ("License:\nLicense: MIT\n# License: /license.xml", []),
        ("User-agent: *\nAllow: /license.xml", []),
    ],
)
def test_the_licences_of_rsl_are_those_of_the_group_or_of_the_site(
    content: str, named: list[str]
) -> None:
    robots = RobotsTxt(content, "kaption")

    assert list(robots.licences) == named
    assert [one.kind for one in robots.signals(URL, "robots.txt")] == []


@pytest.mark.parametrize(
    ("location", "path", "matching"),
    [
        ("/a%24", "/a$b.jpg", True),
        ("/a%24", "/a%24b.jpg", True),
        ("/a%24", "/a", False),
        ("/a$/b", "/a$/b.jpg", True),
        ("/a%2A", "/ab.jpg", False),
        ("/a%2a", "/a*b.jpg", True),
        ("/*$/b$", "/a$/b", True),
    ],
)
def test_escaped_signs_of_patterns_stand_for_themselves(
    location: str, path: str, matching: bool
) -> None:
    content = f"User-agent: *\nDisallow: {location}"

    assert kinds(content, f"https://e.org{path}") == ["robots_txt"] * matching


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-8-sig"])
def test_each_encoding_of_unicode_is_read(encoding: str) -> None:
    content = text_of("User-agent: *\nDisallow: /".encode(encoding))

    assert kinds(content) == ["robots_txt"]


def test_the_groups_are_those_of_the_agent() -> None:
    content = "User-agent: mybot\nDisallow: /\n\nUser-agent: *\nAllow: /"

    assert kinds(content, agent="MyBot") == ["robots_txt"]
    assert kinds(content) == []


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("train-ai=n", True),
        ("search=y, train-ai=n", True),
        ('TRAIN-AI = "n"', True),
        ("train-genai=n", True),
        ("bots=n", True),
        ("tdm=n, train-ai=y", False),
        ("train-ai=n;exp=2030, search=y", True),
        ("train-ai=?0", True),
        ('"train-ai=n"', True),
        ("train_ai: no", True),
        ("ai-train=disallowed", True),
        ("ai-train: yes", False),
        ("train-ai=y, train-ai=n", True),
        ("train-ai=y", False),
        ("train-ai=n.", True),
        ("train-ai=n & search=y", True),
        ("train-ai=n|search=y", True),
        ("train-ai=\u201cn\u201d", True),
        ("ai-train = off", True),
        ("ai-train: denied", True),
        ("ai-training=forbidden", True),
        ("train-ai=on", False),
        ("train-gen-ai=n", True),
        ("gen-ai=n, search=y", True),
        ("train=n", True),
        ("training=no", True),
        ("all=n", True),
        ("all=n, train-ai=y", False),
        ("search=n", None),
        ("train-ai", None),
        ("train-ai=maybe", None),
        ("", None),
    ],
)
def test_preferences_say_whether_training_is_refused(text: str, refused: bool | None) -> None:
    assert refuses_training(text) is refused


@pytest.mark.parametrize(
    "content",
    [
        "".join(f"User-agent: a{n}\n" for n in range(16_000)) + "Allow: /x\n" * 25_000,
        "User-agent: *\n" * 16_000 + "Allow: /x\n" * 25_000,
        "User-agent: *\n" + f"Disallow: /{'*a' * 250}b\n" * 900,
        "User-agent: *\n" + "Disallow: /a\n" * 38_000,
        "a" * 500_000,
        "Content-Usage:" + "=" * 400_000,
        f"User-agent: a{' ' * 400_000}b\nAllow: /",
        f"User-agent{' ' * 400_000}x\nAllow{' ' * 100_000}x",
        f"Content-Usage: a{' ' * 400_000}b",
        f"User-agent: {'( ' * 200_000}b\nDisallow: {'*' * 100_000}",
    ],
)
def test_half_a_megabyte_is_read_in_seconds(content: str) -> None:
    began = time.process_time()

    kinds(content, f"https://img.example/{'a' * 4000}")

    assert time.process_time() - began < 4  # quadratic time would be minutes


@given(st.text(), st.text())
def test_any_text_can_be_read(content: str, path: str) -> None:
    kinds(content, f"https://img.example/{path}")
    kinds(f"User-agent: *\nDisallow: {content}\nContent-Usage: {path}")
