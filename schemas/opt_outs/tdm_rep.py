"""A site's /.well-known/tdmrep.json: the paths for which it reserves text and data mining."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple
from unicodedata import normalize
from urllib.parse import unquote

from kaption.schemas.address import parsed

TDM_REP_PATH = "/.well-known/tdmrep.json"
# As some write it: quoted, as a boolean of HTTP (?1), with a sign or zeros, with parameters, and
# with the policy or a remark behind it.
_VALUE = re.compile(
    r"[\s\"'`\u2018-\u201d\[(]*[?+]?0*([01]|true|false)(?:\.0*)?[\"'`\u2018-\u201d\])]*(?:[;\s].*)?",
    re.IGNORECASE | re.DOTALL,
)
# What people write by hand: remarks, quotes of any kind or none, and commas too many or too few.
_QUOTES = str.maketrans(dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb", '"'))
_QUOTES |= str.maketrans(dict.fromkeys("\u2018\u2019\u201a\u201b`", "'"))
_WRITTEN = re.compile(
    r"/\*.*?(?:\*/|\Z)|(?://|\#)[^\n]*"
    r"|(?P<text>\"[^\"\n]*\"|'[^'\n]*'|(?:(?!//|/\*|\#)[^\s{}\[\],:;=\"'])+)|(?P<sign>[{}:=])",
    re.DOTALL,
)
_ORIGIN = re.compile(r"https?://[^/]*", re.IGNORECASE)
# An escaped * or $ stands for itself.
_MARKS = re.compile(r"%(2A|24)", re.IGNORECASE)


class Reservation(NamedTuple):
    """What a page, a header or a site's file says about text and data mining."""

    reserved: bool
    policy: str | None = None
    """URL of the terms under which mining may be licensed."""


@dataclass(frozen=True, slots=True)
class _TdmRule:
    location: str
    reservation: Reservation


@dataclass(frozen=True, slots=True)
class TdmRep:
    """The rules of one site (TDM Reservation Protocol, W3C community group, 2024).

    A rule's location is a pattern as in robots.txt (RFC 9309): the beginning of a path, with `*`
    for anything and `$` for the end. The longest matching location decides; of equally long ones,
    a rule that reserves.
    """

    rules: tuple[_TdmRule, ...]

    @classmethod
    def parse(cls, content: bytes | str) -> TdmRep:
        """The rules in a file. Raises ValueError for anything else: many sites send HTML.

        A single rule counts as a list, rules inside other lists and objects count too, and a rule
        without a location is about the whole site. In a file that is no JSON count the rules that
        say whether they reserve: many are written by hand.
        """
        if isinstance(content, bytes):
            content = content.decode(json.detect_encoding(content), "replace")
        content = content.removeprefix("\ufeff")
        try:
            given = json.loads(content)
            found = list(_objects(given))
        except json.JSONDecodeError:
            given = None
            found = [] if content.lstrip().startswith("<") else list(_by_hand(content))
        except RecursionError as error:
            raise ValueError(f"{TDM_REP_PATH} is nested too deeply") from error
        if not found and given != []:
            raise ValueError(f"{TDM_REP_PATH} holds no rules")
        return cls(tuple(rule for each in found for rule in _rules(each)))

    def reservation(self, url: str) -> Reservation | None:
        """What the site says about one of its pages; None if no rule matches."""
        path = path_of(url)
        matching = [rule for rule in self.rules if matches(rule.location, path)]
        matching.sort(key=lambda rule: (len(rule.location), rule.reservation.reserved))
        return matching[-1].reservation if matching else None


def reservation(value: object, policy: object) -> Reservation | None:
    """A reservation of these values: 1 reserves, 0 does not, anything else gives None."""
    found = _VALUE.fullmatch(normalize("NFKC", str(value)))
    if found is None:
        return None
    reserved = found[1].lower() in ("1", "true")
    return Reservation(reserved, policy.strip() if isinstance(policy, str) else None)


def _objects(given: Any) -> Iterator[dict[str, Any]]:
    """The objects with a location or a reservation, also those inside others."""
    if isinstance(given, dict) and not {"location", "tdmreservation"}.isdisjoint(_lower(given)):
        yield _lower(given)
    elif isinstance(given, (dict, list)):
        for each in given.values() if isinstance(given, dict) else given:
            yield from _objects(each)


def _by_hand(content: str) -> Iterator[dict[str, Any]]:
    """The objects with a reservation, told by names and colons alone."""
    values: dict[str, list[str]] = {}
    name = ""
    for found in _WRITTEN.finditer(content.translate(_QUOTES)):
        text, sign = found["text"], found["sign"]
        if text:
            values.setdefault(name, []).append(_unquoted(text))
        elif sign in ("{", "}"):
            yield from _reserving(values)
            values, name = {}, ""
        elif sign and values.get(name):
            # What stands before a colon is a name, and no value of the name before it.
            name = _letters(values[name].pop())
            if name in values:
                yield from _reserving(values)
                values = {}
    yield from _reserving(values)


def _reserving(values: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    found = {name: each for name, each in values.items() if each}
    if "tdmreservation" in found:
        yield {name: each if name == "location" else each[0] for name, each in found.items()}


def _unquoted(text: str) -> str:
    if text[0] not in "\"'":
        return text
    with suppress(ValueError):
        return str(json.loads(f'"{text[1:-1]}"'))
    return text[1:-1]


def _lower(given: dict[str, Any]) -> dict[str, Any]:
    return {_letters(name): value for name, value in given.items()}


def _letters(name: str) -> str:
    return re.sub(r"[-_:\s]", "", name).lower()


def _rules(found: dict[str, Any]) -> Iterator[_TdmRule]:
    value = found.get("tdmreservation", found.get("reservation"))
    said = reservation(value, found.get("tdmpolicy"))
    locations = found.get("location") or "/"
    for each in locations if isinstance(locations, list) else [locations]:
        if isinstance(each, str):
            yield _TdmRule(pattern_of(each), said or Reservation(reserved=False))


def pattern_of(location: str) -> str:
    """A location as a pattern of paths, without percent-encoding but that of `*` and `$`.

    Some write whole addresses, backslashes, and some leave out the first slash.
    """
    path = _ORIGIN.sub("", location.strip().replace("\\", "/")).removeprefix(".")
    path = path if path.startswith(("/", "*")) else f"/{path}"
    path = path.replace("**/", "*")  # of .gitignore: folders of any depth, also none
    path = unquote(_MARKS.sub(lambda mark: f"%25{mark[1].upper()}", path))
    # Only at the end it stands for the end.
    return path[:-1].replace("$", "%24") + path[-1:]


def path_of(url: str) -> str:
    """The path and query of a URL, without percent-encoding but that of `*` and `$`."""
    parts = parsed(url)
    path = unquote(parts.pathname + parts.search) if parts else "/"
    return path.replace("*", "%2A").replace("$", "%24")


def matches(location: str, path: str) -> bool:
    """Whether a pattern (`pattern_of`) matches a path (`path_of`)."""
    pattern = location.removesuffix("$")
    # No regular expression: with many ".*" a hostile file would make it take exponential time.
    first, *rest = pattern.split("*")
    if not path.startswith(first):
        return False
    at = len(first)
    ends_here = location.endswith("$")
    for number, part in enumerate(rest):
        if ends_here and number == len(rest) - 1:
            return len(path) - len(part) >= at and path.endswith(part)
        found = path.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return not ends_here or at == len(path)
