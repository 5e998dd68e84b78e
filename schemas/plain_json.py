"""Values that JSON can carry there and back unchanged."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any


def plain(depth: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A validator for objects of null, booleans, numbers, strings, lists and objects.

    At most `depth` levels of lists and objects. Raises ValueError for more, and for what JSON lacks
    or changes: NaN and infinity, half of a surrogate pair, tuples, keys that are no strings.
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
            raise ValueError(f"{value} is no JSON number")
    elif isinstance(value, (list, dict)):
        if depth == 0:
            raise ValueError("nested too deeply")
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str):
                    raise ValueError(f"{type(key).__name__} is no key in JSON")  # noqa: TRY004 - all that pydantic catches
                _check_text(key)
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, depth - 1)
    elif value is not None and not isinstance(value, int):
        raise ValueError(f"{type(value).__name__} is not plain JSON")


def _check_text(text: str) -> None:
    if not text.isascii():
        text.encode()  # UnicodeEncodeError is a ValueError
