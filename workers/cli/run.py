"""`kaption run`: the whole pipeline on one machine, over the user's pairs."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kaption.consumers import Read
from kaption.producers.sources import Item, open_source
from kaption.schemas import DeadLetter, RejectedPair, encode
from kaption.workers.batch.report import RunReport, print_summary, summary
from kaption.workers.batch.run import BatchRun
from kaption.workers.batch.servers import servers
from kaption.workers.cli.common import Config, Option, named
from kaption.workers.runtime import logs
from kaption.workers.settings import Settings, UserError, load_settings

Kafka = Annotated[
    str | None, typer.Option(help="Your brokers, as host:port. Default: a broker of its own.")
]
Redis = Annotated[
    str | None, typer.Option(help="Your server, as redis://... Default: a server of its own.")
]
Store = Annotated[
    str | None, typer.Option(help="A folder or s3://bucket/prefix. Default: a folder in OUT.")
]


def command(
    source: Annotated[
        str,
        typer.Argument(metavar="INPUT", help="A file, folder or URL with pairs, as for `produce`."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new or empty folder.")],
    kafka: Kafka = None,
    redis: Redis = None,
    store: Store = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="Format of INPUT. Default: by its name.")
    ] = None,
    option: Option = None,
    config: Config = None,
) -> None:
    """Run every stage over INPUT until each pair has an outcome, and write to OUT.

    OUT gets the shards, summary.json, rejected.jsonl and dead.jsonl.

    Example: kaption run pairs.jsonl out
    """
    console = Console(stderr=True)
    settings = load_settings(config)
    opened = open_source(source, format_, named(option), settings.store)
    items = (found.item for found in opened.read())
    report = run_pairs(settings, items, out, (kafka, redis, store), console)
    finish(report, out, console)


def run_pairs(
    settings: Settings,
    items: Iterable[Item],
    out: Path,
    given: tuple[str | None, str | None, str | None],
    console: Console,
    on_read: Callable[[Read], None] | None = None,
) -> RunReport:
    """Run the pipeline over `items`.

    `given` holds the addresses of the user's servers (kafka, redis, store); for None a local server
    is started. `on_read` gets every outcome. Raises UserError.
    """
    # kafka-python warns about every connection that closes. That would hide the progress, and the
    # workers themselves report a broker that is missing.
    logs.configure(level=logging.WARNING)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not an empty folder: choose another; a run does not mix results")
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        run_settings = stack.enter_context(servers(settings, out, *given))
        record = stack.enter_context(_Refused(out))
        if given[0] is not None:
            console.print(f"names of topics begin with {run_settings.kafka.topic_prefix}")
        if given[2] is not None:
            console.print(f"shards are below {run_settings.sink.prefix}/")

        def seen(read: Read) -> None:
            record(read)
            if on_read is not None:
                on_read(read)

        return BatchRun(run_settings, items, seen, console).run()


def finish(report: RunReport, out: Path, console: Console) -> None:
    """Print and write the summary. Exits with 1 if an input has no outcome, or two."""
    (out / "summary.json").write_text(json.dumps(summary(report), indent=2) + "\n", "utf-8")
    print_summary(report, console)
    console.print(f"results are in {out}")
    if report.faults:
        raise typer.Exit(1)


class _Refused(ExitStack):
    """Writes the rejected pairs and dead letters of a run to rejected.jsonl and dead.jsonl."""

    def __init__(self, out: Path) -> None:
        super().__init__()
        names = {RejectedPair: "rejected.jsonl", DeadLetter: "dead.jsonl"}
        self._files = {
            kind: self.enter_context((out / name).open("w", encoding="utf-8"))
            for kind, name in names.items()
        }

    def __call__(self, read: Read) -> None:
        if isinstance(read.record, RejectedPair | DeadLetter):
            self._files[type(read.record)].write(encode(read.record).decode() + "\n")
