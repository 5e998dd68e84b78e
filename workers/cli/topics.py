"""`kaption topics`: make the broker's topics as the contract says, or say where they differ."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from schemas import TOPICS
from workers.cli.options import Config
from workers.cli.tables import print_table
from workers.runtime.kafka.topics import TopicAdmin
from workers.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Create, check or describe the topics.")


def _admin(config: Config) -> TopicAdmin:
    return TopicAdmin(load_settings(config).kafka)


@app.command()
def create(
    config: Config = None,
    alter: Annotated[
        bool, typer.Option(help="Also change settings and partitions of existing topics.")
    ] = False,
) -> None:
    """Create missing topics; existing ones are left as they are unless --alter is given."""
    with _admin(config) as admin:
        for name in admin.create(TOPICS):
            typer.echo(f"created {name}")
        for difference in admin.apply(TOPICS) if alter else ():
            typer.echo(f"changed {difference.topic}: {difference.setting} = {difference.expected}")
        remaining = admin.check(TOPICS)
    for difference in remaining:
        typer.echo(str(difference), err=True)
    if remaining:
        raise typer.Exit(1)


@app.command()
def check(config: Config = None) -> None:
    """Say how the topics differ from the contract; exit 1 if they do."""
    with _admin(config) as admin:
        differences = admin.check(TOPICS)
    for difference in differences:
        typer.echo(str(difference))
    if differences:
        raise typer.Exit(1)
    typer.echo(f"{len(TOPICS)} topics are as they should be")


@app.command()
def describe(config: Config = None) -> None:
    """Show partitions, settings and sizes."""
    table = Table("topic", "holds", "partitions", "offsets", "settings", "purpose", box=None)
    with _admin(config) as admin:
        for topic, state in zip(TOPICS, admin.describe(TOPICS), strict=True):
            table.add_row(
                state.topic,
                topic.record.schema_name(),
                str(len(state.partitions)),
                str(state.records),
                ", ".join(f"{name}={state.config.get(name)}" for name in topic.config()),
                topic.purpose,
            )
    print_table(table)
