"""`kaption produce`: publish a source of pairs to pairs.raw."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console

from kaption.producers.feed.feed import Fed, Feed, FeedOptions
from kaption.producers.sources import Unreadable, open_source
from kaption.workers.cli.common import Config
from kaption.workers.errors import UserError
from kaption.workers.settings import load_settings

_LINE_S = 5.0


def command(
    source: Annotated[str, typer.Argument(help="A file, folder or URL.")],
    format_: Annotated[
        str | None, typer.Option("--format", help="Told from the source's name if not given.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", metavar="NAME=VALUE", help="An option of the format."),
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Most records a second.")] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Publish also what earlier runs have published.")
    ] = False,
    config: Config = None,
) -> None:
    """Publish each pair once: a run that was ended is gone on with by the next one.

    Images above 4 MiB go to the workers' store first (store.url). What cannot be read is published
    as it is and becomes a dead letter.
    """
    console = Console(stderr=True, highlight=False)
    settings = load_settings(config)
    options = dict(_named(each) for each in option or ())
    opened = open_source(source, format_, options, settings.store)
    started = time.monotonic()
    next_line = started + _LINE_S
    with console.status("connecting") as status:

        def committed(fed: Fed) -> None:
            nonlocal next_line
            if fed.before and not fed.published:
                console.print(
                    f"goes on where it stopped: {fed.before} records were published before",
                    soft_wrap=True,
                )
            now = time.monotonic()
            rate_now = fed.published / max(now - started, 0.001)
            line = f"{fed.published} records published, {rate_now:.0f}/s"
            status.update(line)
            # A log file has no status line.
            if not console.is_terminal and now >= next_line:
                console.print(line)
                next_line = now + _LINE_S

        def unreadable(found: Unreadable) -> None:
            console.print(f"{found.place}: {found.error}", markup=False, soft_wrap=True)

        # The default is a folder here, where no worker would look for an image.
        store = settings.store if "url" in settings.store.model_fields_set else None
        how = FeedOptions(store=store, from_start=from_start, rate=rate)
        fed = Feed(settings.kafka, opened, how).run(committed, unreadable)
    typer.echo(
        f"{fed.published} records published, {fed.unreadable} of them unreadable, "
        "which become dead letters"
    )
    if fed.before and not fed.published:
        console.print("nothing is new; --from-start publishes all of it again")


def _named(option: str) -> tuple[str, str]:
    name, separator, value = option.partition("=")
    if not separator:
        raise UserError(f"--option {option}: write NAME=VALUE")
    return name, value
