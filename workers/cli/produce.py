"""`kaption produce`: publish the pairs of a source to pairs.raw."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console

from kaption.producers.feed.feed import Fed, Feed, FeedOptions
from kaption.producers.sources import Unreadable, open_source
from kaption.workers.cli.common import FORMATS, Config, Option, ProgressLine, named
from kaption.workers.runtime.tracing import start_tracing
from kaption.workers.settings import load_settings


def command(
    source: Annotated[str, typer.Argument(help=f"A file, folder or URL with pairs: {FORMATS}.")],
    format_: Annotated[
        str | None,
        typer.Option("--format", help="Format of the source. Default: by name or content."),
    ] = None,
    option: Option = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="At most this many records each second.")
    ] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Publish again what earlier runs have published.")
    ] = False,
    config: Config = None,
) -> None:
    """Publish each pair of a source once. A run continues where the last one stopped.

    Images above 4 MiB go to the object store (store.url). Pairs that cannot be
    read are published as they are, and ingest makes dead letters of them.

    Example: kaption produce crawl.parquet --rate 500
    """
    console = Console(stderr=True, highlight=False)
    settings = load_settings(config)
    if settings.runtime.tracing:
        start_tracing()
    opened = open_source(source, format_, named(option), settings.store)
    started, last = time.monotonic(), Fed(0)
    with console.status("connecting") as status:
        progress = ProgressLine(console, status)

        def committed(fed: Fed) -> None:
            nonlocal last
            last = fed
            if fed.before and not fed.published:
                console.print(
                    f"continuing: {fed.before} records were published before", soft_wrap=True
                )
            rate_now = fed.published / max(time.monotonic() - started, 0.001)
            progress.show(f"{fed.published} records published, {rate_now:.0f}/s")

        def unreadable(found: Unreadable) -> None:
            console.print(f"{found.place}: {found.error}", markup=False, soft_wrap=True)

        # The default is a folder on this machine, which the workers do not read.
        store = settings.store if "url" in settings.store.model_fields_set else None
        how = FeedOptions(store=store, from_start=from_start, rate=rate)
        try:
            fed = Feed(settings.kafka, opened, how).run(committed, unreadable)
        except KeyboardInterrupt:
            typer.echo(f"stopped: {last.published} records published; the same command goes on")
            raise typer.Exit(130) from None
    typer.echo(
        f"{fed.published} records published, {fed.unreadable} of them unreadable, "
        "which will become dead letters"
    )
    if fed.not_understood:
        fields = ", ".join(f"{name} {count}" for name, count in fed.not_understood.items())
        typer.echo(f"fields that were not understood and went to extra: {fields}")
    if fed.before and not fed.published:
        console.print("nothing is new; --from-start publishes everything again")
