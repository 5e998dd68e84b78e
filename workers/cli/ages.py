"""Ages as they are typed: 30m, 6h, 2d."""

from __future__ import annotations

import re
from datetime import timedelta

_AGE = re.compile(r"([0-9]+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def age(text: str) -> timedelta | None:
    """None where it is no age."""
    match = _AGE.fullmatch(text)
    return None if match is None else timedelta(**{_UNITS[match[2]]: int(match[1])})
