"""JSON that others wrote, and values that must survive JSON unchanged."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, time
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json

_HALF = re.compile("[\ud800-\udfff]")
_INTEGER_DIGITS = 4_000
"""Python refuses to read or write an integer of more than 4,300 digits."""


def read_json(raw: bytes) -> Any:
    """The value of JSON bytes. Bytes that are no UTF-8 become U+FFFD.

    Control characters in texts are taken: careless writers do not escape a tab. Halves of surrogate
    pairs stay: whoever reads the value replaces and counts them. Raises ValueError if it is no
    JSON, or nested too deeply.
    """
    try:
        return from_json(raw)
    except ValueError as error:
        strict = error
    try:
        return json.loads(raw.decode(errors="replace"), parse_int=_integer, strict=False)
    except (ValueError, RecursionError):
        raise strict from None


def whole_characters(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair."""
    return text if text.isascii() else _HALF.sub("\ufffd", text)


def made_plain(value: Any, depth: int) -> Any:
    """The nearest value that JSON has: null for NaN, a list for a tuple, text for a date.

    Raises ValueError for bytes, for a number of thousands of digits, and for more than `depth`
    nested levels.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return whole_characters(str(value))
    if isinstance(value, int):
        if value.bit_length() > 3 * _INTEGER_DIGITS:
            raise ValueError("a number of too many digits")
        return int(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        return None if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise ValueError("bytes are not plain JSON")  # noqa: TRY004 - as in _check
    if isinstance(value, BaseModel):
        return made_plain(value.model_dump(mode="json"), depth)
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        if depth == 0:
            raise ValueError("nested too deeply")
        if isinstance(value, Mapping):
            return {
                whole_characters(str(key)): made_plain(each, depth - 1)
                for key, each in value.items()
            }
        return [made_plain(each, depth - 1) for each in value]
    if isinstance(value, (date, time)):
        return value.isoformat()
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return made_plain(value.tolist(), depth)
    return whole_characters(str(value))


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


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _INTEGER_DIGITS else digits
