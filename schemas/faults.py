"""Errors of pydantic in one line: which field is wrong, what it takes, and what was given."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

_FAULTS = 5
_GIVEN_CHARS = 60
_LINE_CHARS = 2_000
_WITHOUT_VALUE = ("missing", "value_error", "json_invalid")
"""Kinds of errors that have no value, or whose message is ours and names it."""


def one_line(error: ValidationError, whole: str, *, values: bool = True) -> str:
    """The first five errors, field by field, in at most 2,000 characters.

    `whole` names what has an error that is of no single field. Without `values` no value is shown:
    it may be a secret.
    """
    faults = error.errors(include_url=False, include_context=False, include_input=values)
    shown = "; ".join(
        f"{_place(fault['loc']) or whole}: {fault_text(fault)}" for fault in faults[:_FAULTS]
    )
    more = f" (+{len(faults) - _FAULTS} more)" if len(faults) > _FAULTS else ""
    return f"{shown}{more}"[:_LINE_CHARS]


def _place(loc: Iterable[int | str]) -> str:
    """The field's name with dots, without pydantic's names for the types of a union."""
    return ".".join(str(part) for part in loc if not re.search(r"\[|^constrained-", str(part)))


def fault_text(fault: Mapping[str, Any]) -> str:
    """What one error says, and the value, if it has one that is plain."""
    said = str(fault["msg"]).removeprefix("Value error, ")
    given = fault.get("input", {})
    if fault["type"] in _WITHOUT_VALUE or not isinstance(given, str | bytes | int | float | None):
        return said
    shown = repr(given)
    return f"{said} (given {shown[:_GIVEN_CHARS]}{'...' * (len(shown) > _GIVEN_CHARS)})"
