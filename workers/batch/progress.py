"""Shows the progress of a run: a table for a terminal, a line for a log file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from kaption.workers.runtime.progress import Snapshot


def progress_table(published: int, snapshots: Mapping[str, Snapshot]) -> Table:
    """A table with a row for each stage."""
    table = Table(
        "stage", "done", "passed on", "rejected", "dead", "in hand", "", box=None, pad_edge=False
    )
    for column in table.columns[1:6]:
        column.justify = "right"
    table.add_row("published", str(published))
    for stage, now in snapshots.items():
        waiting = f"[yellow]waiting for {now.waiting_for}[/]" if now.waiting_for else ""
        table.add_row(
            stage,
            str(now.records),
            str(now.emitted),
            str(sum(now.rejected.values())),
            str(now.dead),
            str(now.held),
            waiting,
        )
    return table


def progress_line(published: int, snapshots: Mapping[str, Snapshot]) -> str:
    """The same numbers in one line."""
    stages = "  ".join(f"{stage} {now.records}" for stage, now in snapshots.items())
    return f"published {published}  {stages}"
