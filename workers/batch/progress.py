"""How far a run is: a bar and a table on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from kaption.workers.runtime.progress import Snapshot

_LINE_S = 10.0
"""Seconds between two lines, where the console is not a terminal."""


class Display(ExitStack):
    """Shows outcomes of all inputs, and what each stage does, inside a `with` block."""

    def __init__(
        self, console: Console, earlier: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`earlier`: outcomes of earlier attempts, which say nothing about the speed."""
        super().__init__()
        self._clock = clock
        self._console = console
        self._earlier = earlier
        self._began = clock()
        self._next_line = self._began + _LINE_S
        self._bar = Progress(
            TextColumn("pairs"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._task = self._bar.add_task("", total=None, speed="", left="")
        self._live: Live | None = None
        if console.is_terminal:
            self._live = self.enter_context(
                Live(console=console, refresh_per_second=4, transient=True)
            )

    def show(
        self, done: int, total: int | None, published: int, stages: Mapping[str, Snapshot]
    ) -> None:
        """Show the numbers of now; `total` is None while inputs are still read."""
        seconds = self._clock() - self._began
        rate = (done - self._earlier) / max(seconds, 0.001)
        speed = f"{rate:.1f}/s"
        left = ""
        if total is not None and rate > 0:
            left = f"{span((total - done) / rate)} left"
        if self._live is not None:
            self._bar.update(self._task, completed=done, total=total, speed=speed, left=left)
            self._live.update(Group(self._bar, _table(published, stages)))
        elif self._clock() >= self._next_line:
            self._next_line = self._clock() + _LINE_S
            of = f"{done} of {published}{'' if total is not None else '+'} pairs"
            parts = [of, speed, f"{span(seconds)} elapsed", left]
            parts += [
                f"{name} waits for {now.waiting_for}"
                for name, now in stages.items()
                if now.waiting_for
            ]
            line = ", ".join(filter(None, parts))
            self._console.print(line, soft_wrap=True, highlight=False, markup=False)


def _table(published: int, stages: Mapping[str, Snapshot]) -> Table:
    table = Table(
        "stage", "done", "passed on", "rejected", "dead", "in hand", "", box=None, pad_edge=False
    )
    for column in table.columns[1:6]:
        column.justify = "right"
    table.add_row("published", str(published))
    for stage, now in stages.items():
        waiting = f"[yellow]waiting for {escape(now.waiting_for)}[/]" if now.waiting_for else ""
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


def span(seconds: float) -> str:
    """Hours, minutes and seconds."""
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"
