"""`kaption settings`: every setting, its value and where it comes from."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from workers.cli.options import Config
from workers.settings import explain, load_settings


def command(config: Config = None) -> None:
    """Show all settings with their source; secrets are hidden."""
    rows = list(explain(load_settings(config), config))
    table = Table("setting", "value", "source", box=None, pad_edge=False)
    for row in rows:
        style = None if row.source == "default" else "bold"
        table.add_row(row.name, row.value, row.source, style=style)
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(len(r.name) + len(r.value) + len(r.source) for r in rows) + 8)
    console.print(table)
