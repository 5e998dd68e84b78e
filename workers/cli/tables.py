"""Tables on standard output: fitted to a terminal, never cut in a pipe or file."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

_UNBOUNDED = 10_000


def print_table(table: Table) -> None:
    """Print it."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=_UNBOUNDED, highlight=False)
    console.print(table)
