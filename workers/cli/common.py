"""Options that several commands share."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

_UNBOUNDED = 10_000


def print_table(table: Table) -> None:
    """Print it."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=_UNBOUNDED, highlight=False)
    console.print(table)


_AGE = re.compile(r"([0-9]+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def age(text: str) -> timedelta | None:
    """None where it is no age."""
    match = _AGE.fullmatch(text)
    return None if match is None else timedelta(**{_UNITS[match[2]]: int(match[1])})


Config = Annotated[
    Path | None,
    typer.Option("--config", help="TOML settings file (default: KAPTION_CONFIG)."),
]
