"""`kaption run`: the whole pipeline on one machine, over the user's pairs."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kaption.connections.errors import Fault
from kaption.consumers import Read
from kaption.objectstore import open_store
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.open import try_store
from kaption.producers.sources import Found, open_source
from kaption.schemas.counts import Refusals
from kaption.workers.batch.journal import Journal, check_folder
from kaption.workers.batch.report import RunReport, print_summary, summary
from kaption.workers.batch.run import BatchRun
from kaption.workers.batch.servers import ServerAddresses, clean_up, servers
from kaption.workers.cli.common import (
    FORMATS,
    Config,
    Models,
    Option,
    check_servers,
    named,
    toys,
)
from kaption.workers.cli.report import FILE, missing
from kaption.workers.origin.refusals import store_refusals
from kaption.workers.report.folder import run_report, with_copies, write_whole
from kaption.workers.settings import Settings, UserError, load_settings, require_models
from kaption.workers.stores.client import forget
from kaption.workers.wiring import STAGES

_SAME_S = 0.5
"""Some programs, such as `timeout`, send one signal to the process and once more to its group."""


def command(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help=f"A file, folder or URL with pairs: {FORMATS}.")
    ],
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="A new or empty folder, or an earlier run's."),
    ],
    kafka: Annotated[
        str | None,
        typer.Option(help="Your Kafka brokers, as host:port. Default: the run starts one."),
    ] = None,
    redis: Annotated[
        str | None,
        typer.Option(help="Your Redis, as redis://... Default: the run starts a Valkey."),
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="A folder or s3://bucket/prefix. Default: OUT/store.")
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", help="Format of INPUT. Default: by name or content."),
    ] = None,
    option: Option = None,
    models: Models = None,
    config: Config = None,
) -> None:
    """Run every stage over INPUT until each pair has an outcome, and write to OUT.

    OUT gets the shards, report.html, summary.json, rejected.jsonl and
    dead.jsonl. The same command continues an interrupted run. After the end of
    a run it processes the pairs that are new in INPUT.

    Example: kaption run pairs.jsonl out --models small
    """
    console = Console(stderr=True)
    settings = load_settings(config, models)
    opened = open_source(source, format_, named(option), settings.store)
    check_folder(out)
    items = opened.read()
    # Before anything starts: an input without pairs, or with other names, is a mistake.
    first = next(items, None)
    if first is None:
        raise UserError(f"{source} holds no pairs: give a file or folder with at least one")
    if warning := toys(settings):
        console.print(warning, style="yellow", soft_wrap=True)
    given = ServerAddresses(kafka, redis, store)
    run_pairs(settings, chain([first], items), opened.identity, out, given, console)


def run_pairs(
    settings: Settings,
    items: Iterable[Found],
    identity: str,
    out: Path,
    given: ServerAddresses,
    console: Console,
    on_read: Callable[[Read], None] = lambda read: None,
    on_end: Callable[[], None] = lambda: None,
) -> None:
    """Run the pipeline over `items`, print the summary and write it.

    `identity` names the input. `on_read` gets every outcome; `on_end` is called before the summary.
    Raises UserError; exits with 1 if an input has no outcome, or two, and with 130 after Ctrl-C.
    """
    # The display tells which server is away, and the error what went wrong; libraries' lines and
    # the workers' own log would break it up.
    logging.disable(logging.CRITICAL)
    interruption = Interruption()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interruption)
    require_models(settings, STAGES)
    of = {
        "input": identity,
        "servers": [address and str(address) for address in given],
        "models": [
            settings.clip.model,
            settings.clip.pretrained,
            settings.recaption.transformers.model,
        ],
    }

    def say(line: str) -> None:
        console.print(line, soft_wrap=True, highlight=False, markup=False)

    try:
        with Journal(out, of) as journal, servers(settings, journal, given) as run_settings:
            check_servers(run_settings, redis=True)
            if given.kafka is not None:
                say(f"names of topics begin with {run_settings.kafka.topic_prefix}")
            if given.store is not None:
                # The sink would find out only after the models are loaded.
                trial = Layout(run_settings.sink.prefix).probe("run")
                try_store(open_store(run_settings.store), trial)
                say(f"shards are below {run_settings.sink.prefix}/")
            run = BatchRun(run_settings, items, journal, console, on_read)
            try:
                report = run.run()
                _keep_reasons(run_settings, report)
            finally:
                if given.kafka is not None:
                    clean_up(run_settings, journal, say)
            store = given.store
            if store is not None and "://" not in store:
                store = str(Path(store).resolve())
            dataset = {"store": store, "prefix": run_settings.sink.prefix}
            report = replace(report, dataset=dataset)
            on_end()
            try:
                journal.sample(with_copies(run.gallery.cards(), run_settings))
            except (OSError, Fault) as error:
                say(f"sample.jsonl is missing, so the report shows no pairs: {error}")
            finish(
                report,
                journal,
                console,
                lambda: _write_report(journal.out, run_settings, say),
                goes_on=given.redis is None,
            )
            if given.redis is not None:
                forget(run_settings.redis)
    except KeyboardInterrupt:
        say("stopped. The same command goes on from here")
        raise typer.Exit(130) from None


def _keep_reasons(settings: Settings, report: RunReport) -> None:
    """Keep why pairs were rejected beside the shards: the run's topics end with it."""
    reasons = {f"{stage}.{why}": number for (stage, why), number in report.tally.rejected.items()}
    refusals = Refusals(counted_at=datetime.now(UTC), reasons=reasons)
    store_refusals(open_store(settings.store), settings.sink.prefix, refusals)


class Interruption:
    """Handles Ctrl-C and SIGTERM: the first raises KeyboardInterrupt, the second ends the process.

    It ends like a killed one, which loses nothing. Another KeyboardInterrupt was rejected: what
    waits for threads and servers would wait for them once more.
    """

    def __init__(self) -> None:
        self._first: float | None = None

    def __call__(self, *_: object) -> None:
        """Handle one signal."""
        now = time.monotonic()
        if self._first is None:
            self._first = now
            raise KeyboardInterrupt
        if now - self._first > _SAME_S:
            os.write(2, b"\nstopped at once. The same command goes on from here\n")
            os._exit(130)


def finish(
    report: RunReport,
    journal: Journal,
    console: Console,
    then: Callable[[], None] = lambda: None,
    *,
    goes_on: bool = True,
) -> None:
    """Print and write the summary, and call `then`.

    Exits with 1 if an input has no outcome, or two.
    """
    print_summary(report, console)
    journal.finish(summary(report), goes_on)
    then()
    console.print(f"results are in {journal.out}", soft_wrap=True)
    if report.faults:
        raise typer.Exit(1)


def _write_report(out: Path, settings: Settings, say: Callable[[str], None]) -> None:
    """Write the report. The run is complete without it."""
    try:
        page = run_report(out, settings)
        write_whole(out / FILE, page.html)
    except ModuleNotFoundError as error:
        say(missing(error))
    except (OSError, Fault, UserError) as error:
        say(f"the report could not be written: {error}")
    else:
        if page.absent:
            say(page.absent)
        say(f"the report is {out / FILE}")
