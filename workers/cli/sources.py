"""`kaption sources`: where a data set comes from, and what is in it."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from kaption.connections.settings import StoreConnection
from kaption.objectstore import open_store
from kaption.schemas.faults import one_line
from kaption.workers.cli.common import Config, parsing
from kaption.workers.origin.files import as_json, write_files, written_before
from kaption.workers.origin.holdings import Dataset
from kaption.workers.origin.markdown import as_markdown
from kaption.workers.origin.refusals import count_refusals, known_refusals, store_refusals
from kaption.workers.origin.summary import Context, summary
from kaption.workers.settings import Settings, UserError, load_settings

TABLE_BYTES = 1 << 30
"""Tables up to this size in all are read without being asked for."""


class Form(StrEnum):
    """How the summary is printed."""

    MARKDOWN = "markdown"
    JSON = "json"


def command(
    store: Annotated[
        str | None,
        typer.Argument(
            metavar="[STORE]", help="A folder or s3://bucket/prefix. Default: store.url."
        ),
    ] = None,
    form: Annotated[Form, typer.Option("--to", help="Form of what is printed.")] = Form.MARKDOWN,
    write: Annotated[
        bool,
        typer.Option(
            "--write",
            help="Also write sources.json, sources.md, croissant.json and README.md beside the"
            " manifests. From then on `kaption compact` keeps them current.",
        ),
    ] = False,
    rejected: Annotated[
        bool,
        typer.Option("--rejected", help="Also count the new records of pairs.rejected."),
    ] = False,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Read tables of any size to leave out replaced pairs."),
    ] = False,
    sme: Annotated[
        bool,
        typer.Option("--sme", help="List as many domains as small providers must."),
    ] = False,
    config: Config = None,
) -> None:
    """Summarise where a data set comes from, and what is in it.

    The summary follows the template of the European Commission for providers
    of models. The command reads counters beside the shards. It reads tables
    only for what came after the last compaction, up to 1 GiB of them.

    Example: kaption sources --write
    """
    settings = load_settings(config)
    if store is not None:
        settings = settings.model_copy(update={"store": _at(store, settings.store)})
    prefix, objects = settings.sink.prefix, open_store(settings.store)
    console = Console(stderr=True)
    with console.status("counting"):
        if rejected:
            known = known_refusals(objects, prefix)
            refusals = count_refusals(settings.kafka, known, datetime.now(UTC))
            store_refusals(objects, prefix, refusals)
        found = describe(
            settings, limit=None if exact else TABLE_BYTES, small_provider=sme, write=write
        )
    typer.echo(as_json(found) if form is Form.JSON else as_markdown(found), nl=False)


def describe(
    settings: Settings, *, limit: int | None, small_provider: bool = False, write: bool = False
) -> dict[str, object]:
    """The summary of the data set that the settings name. With `write`, its files are written.

    Raises UserError where there is none, or where it cannot be read.
    """
    prefix, objects = settings.sink.prefix, open_store(settings.store)
    with parsing(prefix):
        holdings = Dataset(objects, prefix).holdings(limit, store=write)
        refusals = known_refusals(objects, prefix)
    if not (holdings.counts.pairs or holdings.takedowns or holdings.damaged):
        url, inside = settings.store.url, Path(settings.store.url) / "store"
        given_run = not url.startswith("s3://") and inside.is_dir()
        advice = f"give {inside}" if given_run else "set store.url and sink.prefix"
        raise UserError(f"{url} holds no shards below {prefix}/: {advice}")
    agent = settings.ingest.fetch.user_agent
    context = Context(prefix, datetime.now(UTC), agent, small_provider, refusals)
    found = summary(holdings, context)
    if write:
        write_files(objects, prefix, found)
    return found


def keep_current(settings: Settings) -> None:
    """Write the files again, if they were written before: compaction changed what they count."""
    written = written_before(open_store(settings.store), settings.sink.prefix)
    if written is not None:
        describe(settings, limit=0, small_provider=written.get("small_provider", False), write=True)


def _at(url: str, store: StoreConnection) -> StoreConnection:
    try:
        return StoreConnection.model_validate(store.model_dump() | {"url": url})
    except ValidationError as error:
        raise UserError(f"{url}: {one_line(error, 'store')}") from error
