"""`kaption takedown`: refuse pairs, images, addresses or domains, and remove what there is, or lift
that.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kaption.objectstore import open_store
from kaption.objectstore.dataset.takedowns import read_takedowns, takedown_keys
from kaption.schemas import Takedown, TakedownKind
from kaption.schemas.limits import DETAIL_CHARS
from kaption.workers.cli.common import Config, ask, require_store, text_of
from kaption.workers.settings import Settings, UserError, load_settings
from kaption.workers.takedown.lifting import lift
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
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Take down the names in this file too, one a line."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Recorded with the takedown.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be removed.")
    ] = False,
    lifts: Annotated[
        bool,
        typer.Option("--lift", help="Lift these takedowns: their pairs may come again."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: Config = None,
) -> None:
    """Refuse a pair, image, address or domain from now on, and remove its data.

    Readers skip the pairs. Ingest rejects them in future, and their images from
    any address. The command withdraws their messages in pairs.clean and deletes
    their images and their entries in Redis. If a run is interrupted, the next
    run of this command finishes it.

    Example: kaption takedown example.org --reason "asked by the owner"
    """
    names = [*(what or ()), *names_in(file)]
    takedowns = _requested(names, kind, reason)
    settings = load_settings(config)
    require_store(settings)
    if lifts:
        if not names or dry_run:
            raise UserError("--lift needs the names of takedowns, and has no --dry-run")
        _lift(settings, takedowns)
        return
    if not names:
        objects, prefix = open_store(settings.store), settings.sink.prefix
        found = read_takedowns(objects, takedown_keys(objects, prefix)).values()
        # Those of the audit leave the images, so that a person can take a decision back.
        takedowns = [each for each in found if each.kind is not TakedownKind.REFUSED]
    removal = Removal(settings)
    if dry_run or (names and not yes):
        with Console(stderr=True, highlight=False).status("searching"):
            result = search(settings.kafka, takedowns)
        counts = removal.count(result.remains)
        typer.echo(_summary(counts, samples_in_shards(settings, result.versions)))
        if dry_run:
            return
        _confirm(takedowns, counts.pairs)
    carry_out(settings, removal, takedowns)


def _lift(settings: Settings, takedowns: Sequence[Takedown]) -> None:
    unknown = []
    for each, lifted in zip(takedowns, lift(settings, takedowns), strict=True):
        if not lifted.known:
            unknown.append(f"{each.kind.value} {each.value}")
            continue
        told = f"{each.kind.value} {each.value} is lifted: takedown {each.takedown_id}"
        if lifted.images:
            told += f", and {lifted.images} images that it led to"
        if not lifted.stored:
            told += f"; it was not among those below {settings.sink.prefix!r}"
        typer.echo(told)
    if unknown:
        raise UserError(
            f"never taken down, so nothing was lifted: {', '.join(unknown)}. Look at the spelling,"
            " and whether --kind is another one"
        )


def names_in(file: Path | None) -> list[str]:
    """Return the lines of a UTF-8 file that are not blank. Raises UserError where there are none.

    The command without names repeats all takedowns, so an empty file must not mean that.
    """
    if file is None:
        return []
    text = text_of(file, f"--file {file}")
    names = [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    if not names:
        raise UserError(f"--file {file} has no names: write one a line")
    return names


def _requested(what: Sequence[str], kind: TakedownKind | None, reason: str) -> list[Takedown]:
    if len(reason) > DETAIL_CHARS:
        raise UserError(f"--reason has {len(reason)} characters: give at most {DETAIL_CHARS}")
    now = datetime.now(UTC)
    return [
        Takedown(kind=kind_of(name, kind), value=name, reason=reason, requested_at=now)
        for name in what
    ]


def carry_out(settings: Settings, removal: Removal, takedowns: Sequence[Takedown]) -> None:
    """Refuse what they cover, and remove what is there of it. Raises Retry, Fatal, PublishError."""
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
