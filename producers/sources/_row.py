"""A row of a table, as it was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """Values by column, or why there are none."""

    place: str
    fields: Mapping[str, Any]
    raw: bytes | None
    """As in the file; None where the file is not made of text."""
    error: str | None
    offset: int
    """In bytes, behind the row; 0 where the file cannot be read from an offset."""
    number: int
    """From 1."""
