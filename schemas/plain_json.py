"""Checks that a value survives JSON unchanged."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any


def plain(depth: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A validator for an object of at most `depth` nested levels of lists and objects.

    It raises ValueError for deeper nesting and for values that JSON lacks or changes: NaN,
    infinity, half of a surrogate pair, tuples, keys that are not strings.
    """

    def validate(value: dict[str, Any]) -> dict[str, Any]:
        _check(value, depth)
        return value

    return validate


def _check(value: object, depth: int) -> None:
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a JSON number")
    elif isinstance(value, (list, dict)):
        if depth == 0:
            raise ValueError("nested too deeply")
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str):
                    raise ValueError(f"a JSON key is a string, not {type(key).__name__}")  # noqa: TRY004 - pydantic catches ValueError only
                _check_text(key)
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, depth - 1)
    elif value is not None and not isinstance(value, int):
        raise ValueError(f"{type(value).__name__} is not plain JSON")


def _check_text(text: str) -> None:
    if not text.isascii():
        text.encode()  # UnicodeEncodeError is a ValueError
