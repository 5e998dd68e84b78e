"""What a run tells at its end: outcomes, speed and alignment before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from kaption.workers.batch.tally import Tally


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did."""

    published: int
    """Inputs, with the unreadable ones."""
    unreadable: int
    seconds: float
    """Of this attempt alone."""
    tally: Tally
    shards: int
    faults: tuple[str, ...]
    """Empty when every input has exactly one outcome and every clean pair is in the shards."""
    not_understood: Mapping[str, int] = field(default_factory=dict)
    """How often a field did not fit and went to `extra`, by field."""
    earlier: int = 0
    """Inputs with an outcome of an earlier attempt."""
    dataset: Mapping[str, str | None] = field(default_factory=dict)
    """Address of the user's `store`, None for the one in the folder, and `prefix` in it."""


def summary(report: RunReport) -> dict[str, Any]:
    """The summary as plain data, for summary.json. The report of the run shows these numbers."""
    return {
        "published": report.published,
        "unreadable_lines": report.unreadable,
        "fields_not_understood": dict(report.not_understood),
        "seconds": round(report.seconds, 2),
        "pairs_per_second": round((report.published - report.earlier) / report.seconds, 2),
        **report.tally.numbers(),
        "shards": report.shards,
        "dataset": dict(report.dataset),
        "faults": list(report.faults),
    }


def print_summary(report: RunReport, console: Console) -> None:
    """Print the summary for people."""
    data = summary(report)
    table = Table("outcome", "pairs", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    table.add_row("clean", str(data["clean"]), style="green")
    for kind, count in data["best_caption"].items():
        table.add_row(f"  best caption: {kind}", str(count))
    for reason, count in data["rejected"].items():
        table.add_row(f"rejected: {reason}", str(count), style="yellow")
    for stage, count in data["dead"].items():
        table.add_row(f"dead: {stage}", str(count), style="red")
    console.print(table)
    if report.tally.captioners.results:
        console.print(report.tally.captioners.table(report.tally.clean))
    now = f", {report.published - report.earlier} of them now," if report.earlier else ""
    console.print(
        f"{data['published']} pairs{now} in {data['seconds']} s ({data['pairs_per_second']}/s), "
        f"{data['shards']} shards"
    )
    if data["score_before"] is not None:
        console.print(
            f"mean alignment of text and image: {data['score_before']} before, "
            f"{data['score_after']} after"
        )
    if report.not_understood:
        fields = ", ".join(f"{name} {count}" for name, count in report.not_understood.items())
        console.print(f"fields that were not understood and went to extra: {fields}")
    for fault in report.faults:
        console.print(f"FAULT: {fault}", style="bold red")
