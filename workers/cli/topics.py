"""`kaption topics`: create the topics of the contract, and show where the broker's differ."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from kaption.connections.kafka.topics import TopicAdmin
from kaption.schemas import TOPICS
from kaption.workers.cli.acls import command as acls
from kaption.workers.cli.common import Config, ask, print_table
from kaption.workers.cli.strimzi import command as strimzi
from kaption.workers.settings import load_settings
from kaption.workers.wiring import STAGES

app = typer.Typer(no_args_is_help=True, help="Create, check and delete topics, and list ACLs.")
app.command("acls")(acls)
app.command("strimzi")(strimzi)


def _admin(config: Config) -> TopicAdmin:
    return TopicAdmin(load_settings(config).kafka)


@app.command()
def create(
    config: Config = None,
    alter: Annotated[
        bool, typer.Option(help="Also change the settings and partitions of existing topics.")
    ] = False,
) -> None:
    """Create missing topics. Exits with 1 if an existing one differs from the contract.

    Existing topics change only with --alter. Partitions are never removed.
    """
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
    """Show how the topics differ from the contract. Exits with 1 if they do."""
    with _admin(config) as admin:
        differences = admin.check(TOPICS)
    for difference in differences:
        typer.echo(str(difference))
    if differences:
        raise typer.Exit(1)
    typer.echo(f"{len(TOPICS)} topics match the contract")


@app.command()
def delete(
    config: Config = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete the topics with all their records, and the consumer groups of stages and produce.

    Stop the workers first. Shards, images and Redis stay.
    """
    kafka = load_settings(config).kafka
    with TopicAdmin(kafka) as admin:
        if not yes:
            named = f"{kafka.topic_prefix}pairs.* and their consumer groups at {kafka.bootstrap}"
            ask(f"delete {named}, with all records?", "nothing was deleted: say y, or give --yes")
        deleted = admin.delete(TOPICS, (*STAGES, "produce-"))
    for name in deleted:
        typer.echo(f"deleted {name}")
    if not deleted:
        typer.echo("there was nothing to delete")


@app.command()
def describe(config: Config = None) -> None:
    """Show the record, partitions, size, settings and purpose of each topic."""
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
