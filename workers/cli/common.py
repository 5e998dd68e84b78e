"""What several commands share: two options, ages, and tables on the terminal."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from kaption.workers.errors import UserError

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", help="TOML file with settings. Default: the one that KAPTION_CONFIG names."
    ),
]

Option = Annotated[
    list[str] | None,
    typer.Option(
        "--option", "-o", metavar="NAME=VALUE", help="Option of the format. May be repeated."
    ),
]

_AGE = re.compile(r"([0-9]+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_UNBOUNDED = 10_000


def named(options: list[str] | None) -> dict[str, str]:
    """The options of a format by name. Raises UserError."""
    found = {}
    for option in options or ():
        name, separator, value = option.partition("=")
        if not separator:
            raise UserError(f"--option {option}: write NAME=VALUE")
        found[name] = value
    return found


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
