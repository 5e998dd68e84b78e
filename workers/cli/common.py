"""What several commands share: the option --config, ages, and what they show and ask."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table

from kaption.workers.settings import UserError

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
_LINE_S = 5.0


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


class ProgressLine:
    """A status line on a terminal, else a line every few seconds."""

    def __init__(self, console: Console, status: Status) -> None:
        self._console = console
        self._status = status
        self._next_line = time.monotonic() + _LINE_S

    def show(self, line: str) -> None:
        """Show how far the command is."""
        self._status.update(line)
        if not self._console.is_terminal and time.monotonic() >= self._next_line:
            self._console.print(line, soft_wrap=True)
            self._next_line = time.monotonic() + _LINE_S


def ask(question: str, otherwise: str) -> None:
    """Ask the user. Raises UserError with `otherwise` where the answer is no, or there is none."""
    try:
        typer.confirm(question, abort=True)
    except typer.Abort:
        raise UserError(otherwise) from None


def on_stop(stop: Callable[[], object]) -> None:
    """Call `stop` at SIGTERM and at Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())
