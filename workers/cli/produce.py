"""`kaption produce`: publish a file of pairs to pairs.raw."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from producers.sources import jsonl
from workers.cli.errors import UserError
from workers.cli.feeder import Feeder
from workers.cli.options import Config
from workers.settings import load_settings


def command(
    file: Annotated[Path, typer.Argument(help="JSONL: one pair per line, fields as RawPair.")],
    config: Config = None,
) -> None:
    """Publish pairs; unreadable lines are published as they are and become dead letters."""
    if not file.is_file():
        raise UserError(f"there is no file {file}")
    console = Console(stderr=True, highlight=False)
    kafka = load_settings(config).kafka
    feeder = Feeder(kafka, jsonl.read(file), console.print)
    with console.status("publishing") as status:
        feeder.start()
        while feeder.is_alive():
            feeder.join(0.25)
            status.update(f"{feeder.published} records published")
    if feeder.error is not None:
        raise feeder.error
    typer.echo(
        f"{feeder.published} records published, {feeder.unreadable} of them unreadable lines "
        "that become dead letters"
    )
