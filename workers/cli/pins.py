"""`kaption pins`: give versions of the dataset a name, so that training can read them again."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from kaption.objectstore import open_store
from kaption.objectstore.dataset.pins import add_pin, delete_pin, read_pins
from kaption.workers.cli.common import Config, parsing, print_table, require_store
from kaption.workers.settings import load_settings

app = typer.Typer(help="Pin versions of the dataset, list them and delete them.")
_PinName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the pin.")]


@app.callback(invoke_without_command=True)
def show(context: typer.Context, config: Config = None) -> None:
    """List the pins. `add` and `delete` change them.

    Compaction keeps the shards that a pin needs, so that ShardOptions(pin="NAME")
    gives the same samples at any time. Pairs that are taken down leave a pin too.
    """
    if context.invoked_subcommand is not None:
        return
    settings = load_settings(config)
    require_store(settings)
    pins = read_pins(open_store(settings.store), settings.sink.prefix)
    table = Table("pin", "since", "records", "partitions", box=None)
    for name, pin in pins.items():
        partitions = pin.partitions.values()
        records = str(sum(each.pairs for each in partitions)) if partitions else "not finished"
        since = f"{pin.pinned_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        table.add_row(name, since, records, str(len(partitions)))
    if pins:
        print_table(table)
    else:
        typer.echo(f"there are no pins below {settings.sink.prefix}/")


@app.command()
def add(name: _PinName, config: Config = None) -> None:
    """Pin the dataset as it is now.

    Example: kaption pins add clip-run-7
    """
    settings = load_settings(config)
    require_store(settings)
    objects, prefix = open_store(settings.store), settings.sink.prefix
    with parsing(prefix):
        pin = add_pin(objects, prefix, name, uuid.uuid4().hex, datetime.now(UTC))
    records = sum(each.pairs for each in pin.partitions.values())
    typer.echo(f"pinned {name}: {records} records in {len(pin.partitions)} partitions")


@app.command()
def delete(name: _PinName, config: Config = None) -> None:
    """Delete a pin. The next `kaption compact` removes what it alone held back."""
    settings = load_settings(config)
    require_store(settings)
    delete_pin(open_store(settings.store), settings.sink.prefix, name, datetime.now(UTC))
    typer.echo(f"deleted {name}")
