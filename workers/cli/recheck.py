"""`kaption recheck`: ask the hosts of kept images again, and withdraw what is opted out now."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from kaption.workers.cli.common import (
    Config,
    ProgressLine,
    ask,
    on_stop,
    print_table,
    require_store,
)
from kaption.workers.cli.takedown import carry_out
from kaption.workers.settings import UserError, load_settings
from kaption.workers.takedown.removal import Removal

if TYPE_CHECKING:
    from kaption.workers.recheck import RecheckReport


def command(
    report: Annotated[
        Path, typer.Argument(help="File for what is found, a JSON line for each image.")
    ],
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Take down the images that are opted out.")
    ] = False,
    gone: Annotated[
        bool, typer.Option("--gone", help="With --withdraw: also images that are gone (404, 410).")
    ] = False,
    rate: Annotated[
        float, typer.Option(min=0.001, help="At most this many images of one host each second.")
    ] = 1.0,
    most: Annotated[int | None, typer.Option(min=1, help="Ask about this many at most.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: Config = None,
) -> None:
    """Ask the hosts of all images of the dataset whether they are opted out by now.

    Images of pairs.clean that are in no shard yet count too.

    The command withdraws nothing without --withdraw. With the report file of
    an earlier run it asks only about images that are not in it. So give the
    same file to continue an interrupted run, or to withdraw what you have
    read in it. Give a new file to ask about all images again.

    Example: kaption recheck 2026-12.jsonl --withdraw
    """
    from kaption.workers.recheck import HostAnswer, Recheck, RecheckReport, kept_images

    if gone and not withdraw:
        raise UserError("--gone only goes with --withdraw: add it, or leave both out")
    settings = load_settings(config)
    require_store(settings)
    if not settings.ingest.respect_opt_out:
        raise UserError("ingest.respect_opt_out is off: no opt-out would be found. Set it for this")
    stopping, console = Event(), Console(stderr=True, highlight=False)
    on_stop(stopping.set)
    found = RecheckReport(report)
    job = Recheck(settings, rate)
    try:
        with console.status("reading the dataset and pairs.clean") as status:
            images = kept_images(settings)
            left = [url for url in images if url not in found.lines][:most]
            line = ProgressLine(console, status)
            job.ask({url: images[url] for url in left}, found, stopping, line.show)
    finally:
        job.close()
    print_table(_table(found))
    if not found.lines and not stopping.is_set():
        typer.echo("no kept image has an address, so no host was asked")
    if stopping.is_set():
        raise UserError(f"interrupted: give {report} again to go on")
    wanted = [HostAnswer.OPTED_OUT, *([HostAnswer.GONE] if gone else [])]
    takedowns = found.takedowns(wanted)
    if not withdraw or not takedowns:
        return
    if not yes:
        question = f"take down the images of {len(takedowns)} addresses? This cannot be undone"
        ask(question, "nothing is taken down: say yes, or give --yes")
    carry_out(settings, Removal(settings), takedowns)


def _table(report: RecheckReport) -> Table:
    """A line for each outcome, and for each kind of opt-out signal."""
    table = Table("found", "why", "images", "pairs", box=None, pad_edge=False)
    images: Counter[tuple[str, str]] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for each in report.lines.values():
        key = (each.found.value, each.why)
        images[key] += 1
        pairs[key] += each.pairs
    for (found, why), count in sorted(images.items()):
        table.add_row(found, why, str(count), str(pairs[found, why]))
    return table
