"""A site's /robots.txt (RFC 9309), with the preferences about training that it may hold.

Protego was tried: it makes an object for each rule and each crawler of a group, which took 84 MB
for a file of 28 kB, and it does not read preferences. Here a rule of other crawlers costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from kaption.schemas.evidence import OptOutSignal
from kaption.schemas.opt_outs.directives import PREFERENCES, refuses_training, right_name, signal
from kaption.schemas.opt_outs.tdm_rep import matches, path_of, pattern_of

ROBOTS_TXT_PATH = "/robots.txt"
ROBOTS_TXT = "robots_txt"
"""The kind of a signal that comes of a Disallow."""
_DISALLOW = frozenset({"disallow", "dissallow", "dissalow", "disalow"})  # as Google reads it
_RULES = _DISALLOW | {"allow", *PREFERENCES}


_AGENT_FIELDS = frozenset({"user-agent", "useragent", "user agent", "user_agent"})
# Google takes a blank for the colon too, where one is missing.
_FIELD = re.compile(r"\s*:\s*|(?<=allow)\s+(?=[/*])|(?<=agent)\s+", re.IGNORECASE)
# What stands between names and around one: the standard has one on each line. Some write the whole
# User-Agent header of a crawler.
_PARTED = str.maketrans(dict.fromkeys(";|\"'[]()", ","))
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
    """

    def __init__(self, content: str, agent: str) -> None:
        agent = agent.lower()
        by_agent: dict[str, list[_Rule]] = {}
        group: set[str] | None = None
        opens = False
        for line in content.removeprefix("\ufeff").splitlines():
            # A long row of blanks would take the patterns quadratic time.
            line = " ".join(line.partition("#")[0].split())
            field, value = (*_FIELD.split(line, maxsplit=1), "")[:2]
            field, value = right_name(field.lower()), value.strip()
            if field in _AGENT_FIELDS:
                listed = [each.strip() for each in value.lower().translate(_PARTED).split(",")]
                names = {_NAME.match(each)[0] for each in listed}  # type: ignore[index] # or ""
                names = {"*" if each.startswith("*") else each for each in names}
                group = (group if opens and group else set()) | (names & {agent, "*"})
                by_agent.update({each: [] for each in group if each not in by_agent})
                opens = True
            elif field in _RULES:
                # Other fields do not part a group, as in Google's parser.
                opens = False
                if (rule := _rule(field, value, line)) is not None:
                    for each in {""} if group is None else group:
                        by_agent.setdefault(each, []).append(rule)
        for_all = [rule for rule in by_agent.get("", ()) if rule.kind != ROBOTS_TXT]
        self.rules = (*for_all, *by_agent.get(agent, by_agent.get("*", ())))

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


def _rule(field: str, value: str, line: str) -> _Rule | None:
    if field in _DISALLOW or field == "allow":
        if quoted := _QUOTED.fullmatch(value):
            value = quoted[2].strip()
        return _Rule(ROBOTS_TXT, field != "allow", pattern_of(value), line) if value else None
    refuses = refuses_training(value) if field in PREFERENCES else None
    if refuses is None:
        return None
    # A preference may begin with the path that it is about.
    location = value.split(maxsplit=1)[0] if value.startswith("/") else "/"
    return _Rule(PREFERENCES[field], refuses, pattern_of(location), line)


def _weight(rule: _Rule) -> tuple[int, bool]:
    return len(rule.location), rule.refuses != (rule.kind == ROBOTS_TXT)


KINDS: Collection[str] = (ROBOTS_TXT, *PREFERENCES.values())
"""The kinds of signals that a robots.txt may give."""
