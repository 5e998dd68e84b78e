"""`kaption pair`: the whole life of one pair."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from kaption.workers.cli.common import Config
from kaption.workers.report.events import shown
from kaption.workers.report.life import PairLife, life_of
from kaption.workers.settings import UserError, load_settings


def command(
    pair_id: Annotated[str, typer.Argument(metavar="PAIR_ID", help="The pair_id.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON, with the whole records.")
    ] = False,
    most: Annotated[
        int, typer.Option(min=1, help="Newest offsets to read of each partition.")
    ] = 1_000_000,
    everywhere: Annotated[
        bool,
        typer.Option(
            "--all-partitions",
            help="Read all partitions, for topics that got more partitions later.",
        ),
    ] = False,
    config: Config = None,
) -> None:
    """Show all that topics, shards, takedowns and Redis know about one pair, in order of time.

    Only the partition of the pair's key is read. Exits with 1 if
    nothing is known of the pair.
    """
    life = life_of(load_settings(config), pair_id, most, everywhere=everywhere)
    if not life.known:
        raise UserError(
            f"no topic, shard or store knows a pair {shown(pair_id)!r}: look at its spelling"
            + "".join(f"; {note}" for note in map(shown, life.notes))
        )
    if as_json:
        typer.echo(json.dumps(asdict(life), indent=2, default=str))
    else:
        _print(life)


def _print(life: PairLife) -> None:
    for event in life.events:
        at = "no time known         " if event.at is None else f"{event.at:%Y-%m-%d %H:%M:%S.%f}"
        typer.echo(f"{at[:23]:23}  {shown(event.what)}  [{event.place}]")
        for line in filter(None, event.details):
            typer.echo(f"{'':23}    {shown(line)}")
    if life.redis:
        typer.echo("in Redis now")
        for name, value in life.redis.items():
            told = ", ".join(f"{k} of {v}" for k, v in value.items()) if name == "claims" else value
            typer.echo(f"{'':23}  {name}: {shown(str(told))}")
    for note in life.notes:
        typer.echo(f"note: {shown(note)}", err=True)
