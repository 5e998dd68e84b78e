"""`kaption compact`: merge small shards, and leave out replaced versions and takedowns."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError
from rich.console import Console

from kaption.objectstore import open_store
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.open import try_store
from kaption.workers.cli.common import Config, ProgressLine, age, parsing, require_store
from kaption.workers.cli.sources import keep_current
from kaption.workers.compaction import Compacted, Compactor, Limits, find_orphans, retire
from kaption.workers.settings import UserError, load_settings

_UNCOMMITTED = timedelta(days=1)
"""An upload this old without a manifest belongs to a writer that died."""
_SIZE = TypeAdapter(ByteSize)


def command(
    below: Annotated[
        str | None,
        typer.Option(
            metavar="BYTES", help="Merge shards smaller than this. Default: half of --to."
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="BYTES", help="Size of merged shards, as 256MiB. Default: sink.shard_bytes."
        ),
    ] = None,
    grace: Annotated[
        str,
        typer.Option(
            metavar="AGE", help="Keep replaced shards this long, for readers that use them."
        ),
    ] = "1d",
    orphans: Annotated[
        bool,
        typer.Option("--orphans", help="Also delete data over a day old that no manifest names."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing, only report.")
    ] = False,
    config: Config = None,
) -> None:
    """Merge small shards. Leave out replaced versions and pairs that are taken down.

    A large shard is rewritten only if it holds a pair that is taken down.
    Shards that `kaption pins` names are kept.
    Readers, sinks and other compactions may run at the same time. The command
    may be killed at any moment and started again.

    Example: kaption compact --below 64MiB --to 256MiB --dry-run
    """
    settings = load_settings(config)
    store, sink, url = open_store(settings.store), settings.sink, settings.store.url
    target = _bytes("--to", to) or sink.shard_bytes
    least = _bytes("--below", below) or target // 2
    kept = age(grace)
    if kept is None:
        raise UserError(f"--grace {grace}: give an age such as 30m, 6h or 2d")
    require_store(settings)
    console = Console(stderr=True, highlight=False)
    writer = f"compact-{uuid.uuid4().hex}"
    if not dry_run:
        try_store(store, Layout(sink.prefix).probe(writer))
    with console.status("looking for small shards") as status:
        compactor = Compactor(
            store,
            sink.prefix,
            Limits(least, target, sink.shard_records),
            writer=writer,
            spool=Path(sink.spool) if sink.spool else None,
        )
        progress = ProgressLine(console, status)
        with parsing(sink.prefix):
            done = compactor.run(dry=dry_run, progress=lambda done: progress.show(_line(done)))
        for fault in done.damaged:
            console.print(f"not merged: {fault}", markup=False, soft_wrap=True)
        typer.echo(_line(done))
        if not compactor.partitions():
            # No error: a scheduled compaction may be earlier than the first shard.
            typer.echo(f"{url} holds no shards below {sink.prefix}/ so far")
        status.update("removing shards that were merged earlier")
        retired = retire(store, sink.prefix, datetime.now(UTC) - kept, dry=dry_run)
        if not dry_run:
            typer.echo(f"{retired.shards} shards removed that were merged more than {grace} ago")
            keep_current(settings)
        if retired.held:
            size = ByteSize(retired.held_bytes).human_readable()
            typer.echo(f"{retired.held} more of them are kept for `kaption pins`: {size}")
        if orphans:
            status.update("looking for data that no manifest names")
            found = find_orphans(store, sink.prefix, datetime.now(UTC) - max(kept, _UNCOMMITTED))
            for key in () if dry_run else found:
                store.delete(key)
            done_to = "" if dry_run else " were deleted"
            typer.echo(f"{len(found)} old objects that no manifest names{done_to}")
    if dry_run:
        typer.echo("nothing was changed: this was a dry run")


def _line(done: Compacted) -> str:
    before, after = ByteSize(done.bytes_before), ByteSize(done.bytes_after)
    sizes = f"{before.human_readable()} into {after.human_readable()}"
    dropped = "".join(f", {number} pairs {why}" for why, number in sorted(done.dropped.items()))
    return f"{done.before} shards into {done.after}, {sizes}{dropped}"


def _bytes(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        size = _SIZE.validate_python(text)
    except ValidationError as error:
        raise UserError(f"{option} {text}: give a size such as 500000 or 64MiB") from error
    if size < 1:
        raise UserError(f"{option} {text}: give a size above 0")
    return size
