"""`kaption settings`: every setting, its value and where it comes from."""

from __future__ import annotations

from rich.table import Table

from kaption.workers.cli.common import Config, print_table
from kaption.workers.settings import explain, load_settings


def command(config: Config = None) -> None:
    """Show all settings with their source; secrets are hidden."""
    table = Table("setting", "value", "source", box=None, pad_edge=False)
    for row in explain(load_settings(config), config):
        style = None if row.source == "default" else "bold"
        table.add_row(row.name, row.value, row.source, style=style)
    print_table(table)
