"""What several commands share: the option --config, ages, and tables on the terminal."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", help="TOML file with settings. Default: the one that KAPTION_CONFIG names."
    ),
]

_AGE = re.compile(r"([0-9]+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_UNBOUNDED = 10_000


def age(text: str) -> timedelta | None:
    """Read an age such as 30m, 6h or 2d; None if it is none."""
    match = _AGE.fullmatch(text)
    return None if match is None else timedelta(**{_UNITS[match[2]]: int(match[1])})


def print_table(table: Table) -> None:
    """Print a table. Where the output is no terminal each row is one line, for other programs."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=_UNBOUNDED, highlight=False)
    console.print(table)
