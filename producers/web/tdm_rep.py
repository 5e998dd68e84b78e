"""A site's /.well-known/tdmrep.json: the paths for which it reserves text and data mining."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

TDM_REP_PATH = "/.well-known/tdmrep.json"


class Reservation(NamedTuple):
    """What a page, a header or a site's file says about text and data mining."""

    reserved: bool
    policy: str | None = None
    """URL of the terms under which mining may be licensed."""


@dataclass(frozen=True, slots=True)
class _Rule:
    location: str
    reservation: Reservation


class TdmRep:
    """The rules of one site (TDM Reservation Protocol, W3C community group, 2024).

    A rule's location is a pattern as in robots.txt (RFC 9309): the beginning of a path, with `*`
    for anything and `$` for the end. The longest matching location decides; of equally long ones,
    a rule that reserves.
    """

    def __init__(self, rules: tuple[_Rule, ...]) -> None:
        self._rules = rules

    @classmethod
    def parse(cls, content: bytes | str) -> TdmRep:
        """The rules in a file. Raises ValueError for anything else: many sites send HTML."""
        try:
            rules = json.loads(content)
        except RecursionError as error:
            raise ValueError(f"{TDM_REP_PATH} is nested too deeply") from error
        if not isinstance(rules, list) or not all(isinstance(each, dict) for each in rules):
            raise ValueError(f"{TDM_REP_PATH} is no JSON array of objects")
        return cls(tuple(_rule(each) for each in rules if isinstance(each.get("location"), str)))

    def reservation(self, url: str) -> Reservation | None:
        """What the site says about one of its pages; None if no rule matches."""
        parts = urlsplit(url)
        path = unquote(parts.path or "/") + (f"?{unquote(parts.query)}" if parts.query else "")
        matching = [rule for rule in self._rules if _matches(rule.location, path)]
        matching.sort(key=lambda rule: (len(rule.location), rule.reservation.reserved))
        return matching[-1].reservation if matching else None


def reservation(value: object, policy: object) -> Reservation | None:
    """A reservation of these values: 1 reserves, 0 does not, anything else gives None."""
    text = str(value).strip()
    if text not in ("0", "1"):
        return None
    return Reservation(text == "1", policy.strip() if isinstance(policy, str) else None)


def _rule(found: dict[str, Any]) -> _Rule:
    said = reservation(found.get("tdm-reservation"), found.get("tdm-policy"))
    return _Rule(unquote(found["location"]), said or Reservation(reserved=False))


def _matches(location: str, path: str) -> bool:
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
