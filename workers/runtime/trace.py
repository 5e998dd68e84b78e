"""W3C trace context (https://www.w3.org/TR/trace-context/): one span per stage."""

from __future__ import annotations

import random
import re

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


def child_of(parent: str | None, random_source: random.Random) -> str:
    """The traceparent of the messages that a stage makes of a record.

    It keeps the trace and the sampled flag of `parent` and gets a new span. A missing or malformed
    `parent` starts a new, sampled trace, as the standard asks.
    """
    span = f"{random_source.getrandbits(64) or 1:016x}"
    match = _PARENT.fullmatch(parent) if parent else None
    if match and _valid(match):
        return f"00-{match[2]}-{span}-{int(match[4], 16) & _SAMPLED:02x}"
    return f"00-{random_source.getrandbits(128) or 1:032x}-{span}-01"


def _valid(match: re.Match[str]) -> bool:
    version, trace, span, _, more = match.groups()
    if version == "ff" or (version == "00" and more):
        return False
    return bool(trace.strip("0") and span.strip("0"))
