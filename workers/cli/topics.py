"""`kaption topics`: make the broker's topics as the contract says, or say where they differ."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from kaption.connections.kafka.topics import TopicAdmin
from kaption.schemas import TOPICS
from kaption.workers.cli.acls import grants, merged
from kaption.workers.cli.common import Config, print_table
from kaption.workers.errors import UserError
from kaption.workers.settings import load_settings

app = typer.Typer(
    no_args_is_help=True, help="Create, check or describe the topics; list their ACLs."
)


class AclFormat(StrEnum):
    """Of the list of ACLs."""

    TABLE = "table"
    COMMANDS = "commands"


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


@app.command()
def acls(
    of: Annotated[
        list[str] | None,
        typer.Argument(
            help="Stages, publish, produce, replay, consume, status, topics (default: all)."
        ),
    ] = None,
    principal: Annotated[
        str | None,
        typer.Option(help="One for all of them; otherwise each has User:kaption-NAME."),
    ] = None,
    shown: Annotated[
        AclFormat, typer.Option("--format", help="A table, or lines with kafka-acls.sh.")
    ] = AclFormat.TABLE,
    config: Config = None,
) -> None:
    """List the rights that stages and commands need where Kafka has an authorizer."""
    kafka = load_settings(config).kafka
    known = grants(kafka.topic_prefix)
    if unknown := set(of or ()) - set(known):
        raise UserError(f"no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    chosen = {name: known[name] for name in of or known}
    if principal is None:
        lists = {f"User:kaption-{name}": list(merged(each)) for name, each in chosen.items()}
    else:
        lists = {principal: list(merged(grant for each in chosen.values() for grant in each))}
    if shown is AclFormat.COMMANDS:
        for user, each in lists.items():
            for grant in each:
                typer.echo(grant.command(user, kafka.bootstrap))
        return
    table = Table("principal", "resource", "name", "pattern", "operations", box=None)
    for user, each in lists.items():
        for grant in each:
            operations = ", ".join(grant.operations)
            table.add_row(user, grant.resource, grant.name, grant.pattern, operations)
    print_table(table)
