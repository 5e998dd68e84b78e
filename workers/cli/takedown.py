"""`kaption takedown`: refuse pairs, images, addresses or domains, and remove what there is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from kaption.objectstore import open_store
from kaption.objectstore.dataset.takedowns import read_takedowns, takedown_keys
from kaption.schemas import Takedown, TakedownKind
from kaption.schemas.limits import DETAIL_CHARS
from kaption.workers.cli.common import Config, ask
from kaption.workers.errors import UserError
from kaption.workers.settings import Settings, load_settings
from kaption.workers.takedown.names import kind_of
from kaption.workers.takedown.removal import Removal, Removed, samples_in_shards
from kaption.workers.takedown.search import search

_ASK_ABOVE = 100
"""Pairs in pairs.clean. With more than these the command asks: it may be a mistake."""


def command(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PAIR|URL|SHA256|DOMAIN]...",
            help="What to take down. Default: repeat every earlier takedown.",
        ),
    ] = None,
    kind: Annotated[
        TakedownKind | None, typer.Option(help="Kind of the names. Default: by their form.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Recorded with the takedown.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be removed.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: Config = None,
) -> None:
    """Refuse a pair, image, address or domain from now on, and remove its data.

    Readers skip the pairs. Ingest rejects them in future, and their images from
    any address. The command withdraws their messages in pairs.clean and deletes
    their images and their entries in Redis. The next run, whatever it takes
    down, finishes one that was interrupted.

    Example: kaption takedown example.org --reason "asked by the owner"
    """
    takedowns = _requested(what or [], kind, reason)
    settings = load_settings(config)
    if not what:
        objects, prefix = open_store(settings.store), settings.sink.prefix
        takedowns = list(read_takedowns(objects, takedown_keys(objects, prefix)).values())
    removal = Removal(settings)
    if dry_run or (what and not yes):
        with Console(stderr=True, highlight=False).status("searching"):
            found = search(settings.kafka, takedowns)
        counts = removal.count(found.remains)
        typer.echo(_summary(counts, samples_in_shards(settings, found.versions)))
        if dry_run:
            return
        _confirm(takedowns, counts.pairs)
    _carry_out(settings, removal, takedowns)


def _requested(what: Sequence[str], kind: TakedownKind | None, reason: str) -> list[Takedown]:
    if len(reason) > DETAIL_CHARS:
        raise UserError(f"--reason has {len(reason)} characters: give at most {DETAIL_CHARS}")
    now = datetime.now(UTC)
    return [
        Takedown(kind=kind_of(name, kind), value=name, reason=reason, requested_at=now)
        for name in what
    ]


def _carry_out(settings: Settings, removal: Removal, takedowns: Sequence[Takedown]) -> None:
    with Console(stderr=True, highlight=False).status("writing the takedown") as status:
        removal.refuse(takedowns)
        named = [each for each in takedowns if each.picture_of is None]
        for each in named:
            typer.echo(f"{each.kind.value} {each.value} is refused: takedown {each.takedown_id}")
        if images := len(takedowns) - len(named):
            typer.echo(f"{images} images of the pairs found are refused too, by their sha256")
        for key, remains in removal.left():
            removed = removal.remove(remains, status.update)
            removal.finish(key)
            typer.echo(f"an interrupted run was finished: {_summary(removed)}")
        status.update("waiting for batches that workers compute")
        time.sleep(settings.takedown.settle_s)
        status.update("searching")
        remains = search(settings.kafka, takedowns).remains
        key = removal.keep(remains)
        removed = removal.remove(remains, status.update)
        removal.finish(key)
    typer.echo(f"removed: {_summary(removed)}")


def _summary(removed: Removed, samples: int | None = None) -> str:
    parts = [f"{removed.pairs} pairs in pairs.clean"]
    if samples is not None:
        parts.append(f"{samples} samples in shards")
    parts += [f"{removed.blobs} blobs", f"{removed.entries} entries in Redis"]
    images = f"; refused too: {removed.refused} sha256" if removed.refused else ""
    return ", ".join(parts) + images


def _confirm(takedowns: Sequence[Takedown], pairs: int) -> None:
    domains = [each.value for each in takedowns if each.kind is TakedownKind.DOMAIN]
    if not domains and pairs <= _ASK_ABOVE:
        return
    about = f"everything from {', '.join(domains)}" if domains else f"{pairs} pairs"
    ask(
        f"take down {about}? This cannot be undone",
        f"nothing is taken down: say yes to {about}, or give --yes",
    )
