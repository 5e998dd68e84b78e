"""What a run tells: its progress, and at the end outcomes, speed and alignment before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from kaption.workers.batch.tally import Tally

if TYPE_CHECKING:
    from kaption.workers.runtime.progress import Snapshot


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did."""

    published: int
    """Inputs, with the unreadable ones."""
    unreadable: int
    seconds: float
    tally: Tally
    shards: int
    faults: tuple[str, ...]
    """Empty when every input has exactly one outcome and every clean pair is in the shards."""
    not_understood: Mapping[str, int] = field(default_factory=dict)
    """How often a field did not fit and went to `extra`, by field."""


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


def summary(report: RunReport) -> dict[str, Any]:
    """The summary as plain data, for summary.json.

    The scores are means over the clean pairs whose alt text has a score.
    """
    tally = report.tally
    compared = max(1, tally.compared)
    return {
        "published": report.published,
        "unreadable_lines": report.unreadable,
        "fields_not_understood": dict(report.not_understood),
        "seconds": round(report.seconds, 2),
        "pairs_per_second": round(report.published / report.seconds, 2),
        "clean": tally.clean,
        "rejected": {
            f"{stage}.{reason}": count for (stage, reason), count in tally.rejected.most_common()
        },
        "dead": dict(tally.dead),
        "best_caption": dict(tally.kept.most_common()),
        "score_before": round(tally.score_before / compared, 4) if tally.compared else None,
        "score_after": round(tally.score_after / compared, 4) if tally.compared else None,
        "shards": report.shards,
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
    console.print(
        f"{data['published']} pairs in {data['seconds']} s ({data['pairs_per_second']}/s), "
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
