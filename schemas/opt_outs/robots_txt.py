"""A site's /robots.txt (RFC 9309), with the preferences about training that it may hold.

Protego was tried: it makes an object for each rule and each crawler of a group, which took 84 MB
for a file of 28 kB, and it does not read preferences. Here a rule of other crawlers costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from kaption.schemas.evidence import OptOutSignal
from kaption.schemas.opt_outs.directives import (
    NO_TRAINING,
    PREFERENCES,
    named,
    refuses_by_name,
    refuses_training,
    right_name,
    robots_signals,
    signal,
)
from kaption.schemas.opt_outs.rsl import LICENCES
from kaption.schemas.opt_outs.tdm_rep import matches, path_of, pattern_of, reservation

ROBOTS_TXT_PATH = "/robots.txt"
ROBOTS_TXT = "robots_txt"
"""The kind of a signal that comes of a Disallow."""
# As Google reads it, and a participle. Of all names here, only the letters count.
_DISALLOW = frozenset(
    ["disallow", "disallowed", "dissallow", "dissalow", "disalow", "diasllow", "disallaw"]
)
_TRAINING = {NO_TRAINING: True, NO_TRAINING.removeprefix("dis"): False}
_RULES = {*_DISALLOW, "allow", *_TRAINING, *PREFERENCES}
_AGENT_FIELDS = frozenset({"useragent", "useragents"})
_LICENCE = frozenset({"license", "licence"})
# Google takes a blank for the colon too, where one is missing. Keyboards write a wide colon.
_FIELD = re.compile(r"\s*[:\uff1a]\s*|(?<=allow)\s+(?=[/*])|(?<=agent)\s+", re.IGNORECASE)
# Programs that make the file lose its line breaks, or write them for a browser.
_TAG = re.compile(r"<[^<>]{0,200}>")
_NEXT_FIELD = re.compile(
    r"\s(?=(?:user-?agents?|(?:dis)?allow\w{0,20}|licen[sc]e|content-(?:usage|signals?))\s?:)",
    re.IGNORECASE,
)
# A path has no blank. Some write several on a line, or a remark behind one.
_NEXT_PATH = re.compile(r"[,;]?\s+(?=[/*])|\s;.*")
# What stands between names and around one: the standard has one on each line. Some write the whole
# User-Agent header of a crawler.
_PARTED = str.maketrans(dict.fromkeys(";|\"'[]()\\", ","))
_EVERYBODY = frozenset({"all", "any"})
# Editors make these of a hyphen.
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"))
_NAME = re.compile(r"\*+(?!\S)|[\w.-]*")
_QUOTED = re.compile(r"([\"'`\u2018-\u201d])(.*)[\"'`\u2018-\u201d]")


class _Rule(NamedTuple):
    kind: str
    refuses: bool
    location: str
    line: str


class RobotsTxt:
    """The rules of one site for one crawler: those of its groups, else those for all crawlers.

    `agent` is the crawler's product token, such as ``kaption``. Of the rules of one kind whose
    location matches, the longest decides. Of equally long ones, Allow decides over Disallow, and
    the preference that refuses over the other. Preferences before the first group hold for all.

    `licences` are the addresses of RSL licences, absolute or beginning with a slash: those of the
    group, else those outside groups (RSL 1.0). Some stand at the end, behind a blank line.
    """

    def __init__(self, content: str, agent: str) -> None:
        agent = agent.lower()
        by_agent: dict[str, list[_Rule]] = {}
        named: dict[str, list[str]] = {}
        group: set[str] | None = None
        opens = ended = False
        for line in _lines(content.removeprefix("\ufeff")):
            field, value = (*_FIELD.split(line, maxsplit=1), "")[:2]
            field, value = right_name(field.lower().translate(_DASHES)), value.strip()
            if field not in PREFERENCES:
                field = re.sub("[-_ ]", "", field)
            if field in _AGENT_FIELDS:
                listed = [each.strip() for each in value.lower().translate(_PARTED).split(",")]
                names = {_NAME.match(each)[0] for each in listed}  # type: ignore[index] # or ""
                names = {"*" if each[:1] == "*" or each in _EVERYBODY else each for each in names}
                group = (group if opens and group else set()) | (names & {agent, "*"})
                by_agent.update({each: [] for each in group if each not in by_agent})
                opens, ended = True, False
            elif field in _LICENCE and re.match(r"https?://|/", value, re.IGNORECASE):
                for each in {""} if group is None or ended else group:
                    named.setdefault(each, []).append(value)
            elif field in ("", "sitemap"):
                ended = True
            elif field in _RULES:
                # Other fields do not part a group, as in Google's parser.
                opens = False
                for each in {""} if group is None else group:
                    by_agent.setdefault(each, []).extend(_rules(field, value, line))
            elif (refuses := _misplaced(field, value, agent)) is not None:
                place = pattern_of(value if value.startswith("/") else "/")
                rule = _Rule(PREFERENCES["content-usage"], refuses, place, line)
                for each in {""} if group is None else group:
                    by_agent.setdefault(each, []).append(rule)
        for_all = [rule for rule in by_agent.get("", ()) if rule.kind != ROBOTS_TXT]
        own = agent if agent in by_agent else "*"
        self.rules = (*for_all, *by_agent.get(own, ()))
        self.licences = tuple(dict.fromkeys(named.get(own) or named.get("", [])))[:LICENCES]

    def signals(self, url: str, source: str) -> Iterator[OptOutSignal]:
        """What the rules refuse for a URL, at most one signal of each kind."""
        path = path_of(url)
        deciding: dict[str, _Rule] = {}
        for rule in self.rules:
            held = deciding.get(rule.kind)
            if matches(rule.location, path) and (held is None or _weight(rule) > _weight(held)):
                deciding[rule.kind] = rule
        for kind, rule in deciding.items():
            if rule.refuses:
                yield signal(kind, rule.line, source)


def text_of(content: bytes) -> str:
    """The text of a file: UTF-8, as the standard says, or UTF-16 with a byte order mark.

    Without the mark, UTF-16 is ASCII with zeros between the letters.
    """
    marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    return content.decode("utf-16" if marked else "utf-8", "replace").replace("\x00", "")


def _lines(content: str) -> Iterator[str]:
    """The lines without remarks, each with one field."""
    if len(content.splitlines()) < 2:
        content = content.replace("\\r", "\n").replace("\\n", "\n")
    for line in _TAG.sub("\n", content).splitlines():
        # A long row of blanks would take the patterns quadratic time.
        said, remark, _ = line.partition("#")
        if said.strip() or not remark:
            yield from _NEXT_FIELD.split(" ".join(said.split()))


def _rules(field: str, value: str, line: str) -> Iterator[_Rule]:
    if field in _DISALLOW or field == "allow":
        if quoted := _QUOTED.fullmatch(value):
            value = quoted[2].strip()
        for each in filter(None, _NEXT_PATH.split(value)):
            yield _Rule(ROBOTS_TXT, field != "allow", pattern_of(each), line)
        return
    refuses = _TRAINING[field] if field in _TRAINING else refuses_training(value)
    # A preference may begin with the path that it is about.
    location = value.split(maxsplit=1)[0] if value.startswith("/") else "/"
    if refuses is not None and (value or field in PREFERENCES):
        kind = PREFERENCES.get(field, PREFERENCES["content-usage"])
        yield _Rule(kind, refuses, pattern_of(location), line)


def _misplaced(field: str, value: str, agent: str) -> bool | None:
    """What a header or a directive says that stands in the file; None for other fields."""
    if field == "xrobotstag":
        return any(robots_signals("x_robots_tag", value, "*", named([agent]))) or None
    if field == "tdmreservation":
        said = reservation(value, None)
        return None if said is None else said.reserved
    return refuses_by_name(field, value)


def _weight(rule: _Rule) -> tuple[int, bool]:
    return len(rule.location), rule.refuses != (rule.kind == ROBOTS_TXT)


KINDS: Collection[str] = (ROBOTS_TXT, *PREFERENCES.values())
"""The kinds of signals that a robots.txt may give."""
