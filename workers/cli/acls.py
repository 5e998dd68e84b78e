"""`kaption topics acls`: the rights that stages and commands need on a Kafka with an authorizer."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Literal

import typer
from rich.table import Table

from kaption.schemas import TOPICS, Topic
from kaption.schemas.topics import AUDIT, AUDITED, CLEAN, DEAD, INGESTED, RAW, REJECTED
from kaption.workers.cli.common import Config, print_table
from kaption.workers.settings import UserError, load_settings
from kaption.workers.wiring import OUTPUTS, STAGES

DESCRIBE = ("Describe", "DescribeConfigs")
Of = Annotated[
    list[str] | None,
    typer.Argument(
        help="Stages or commands: ingest ... sink, publish, produce, replay, consume, "
        "takedown, audit, status, topics. Default: all."
    ),
]


class AclFormat(StrEnum):
    """How the ACLs are listed."""

    TABLE = "table"
    COMMANDS = "commands"


@dataclass(frozen=True, slots=True)
class Grant:
    """An ACL that allows operations on a resource, in the words of kafka-acls.sh."""

    resource: Literal["topic", "group", "transactional-id"]
    name: str
    operations: tuple[str, ...]
    """Read and Write include Describe."""
    pattern: Literal["literal", "prefixed"] = "literal"

    def command(self, principal: str, bootstrap: str) -> str:
        """The command line that adds this ACL."""
        operations = [word for each in self.operations for word in ("--operation", each)]
        words = [
            *("kafka-acls.sh", "--bootstrap-server", bootstrap, "--command-config"),
            *("admin.properties", "--add", "--allow-principal", principal, *operations),
            *(f"--{self.resource}", self.name, "--resource-pattern-type", self.pattern),
        ]
        return shlex.join(words)


def command(
    of: Of = None,
    principal: Annotated[
        str | None,
        typer.Option(help="One Kafka user for all. Default: User:kaption-NAME for each."),
    ] = None,
    shown: Annotated[
        AclFormat, typer.Option("--format", help="A table, or command lines of kafka-acls.sh.")
    ] = AclFormat.TABLE,
    config: Config = None,
) -> None:
    """List the ACLs that stages and commands need on a Kafka with an authorizer.

    Example: kaption topics acls ingest produce --format commands
    """
    kafka = load_settings(config).kafka
    asked = chosen(of, kafka.topic_prefix)
    if principal is None:
        lists = {f"User:kaption-{name}": each for name, each in asked.items()}
    else:
        lists = {principal: list(merged(grant for each in asked.values() for grant in each))}
    listed = [(user, grant) for user, each in lists.items() for grant in each]
    if shown is AclFormat.COMMANDS:
        for user, grant in listed:
            typer.echo(grant.command(user, kafka.bootstrap))
        return
    table = Table("principal", "resource", "name", "pattern", "operations", box=None)
    for user, grant in listed:
        operations = ", ".join(grant.operations)
        table.add_row(user, grant.resource, grant.name, grant.pattern, operations)
    print_table(table)


def chosen(of: list[str] | None, prefix: str) -> dict[str, list[Grant]]:
    """The ACLs of these stages and commands, or of all. Raises UserError for an unknown name."""
    known = grants(prefix)
    if unknown := set(of or ()) - set(known):
        raise UserError(
            f"no stage or command is called {', '.join(sorted(unknown))}: choose from "
            f"{', '.join(known)}"
        )
    return {name: list(merged(known[name])) for name in of or known}


def grants(prefix: str) -> dict[str, tuple[Grant, ...]]:
    """The ACLs of each stage and command; `prefix` is `kafka.topic_prefix`."""
    return {
        **{stage: tuple(_worker(stage, prefix)) for stage in STAGES},
        "publish": (_topic(RAW, prefix, "Write", "DescribeConfigs"),),
        "produce": tuple(_feed(prefix, [RAW])),
        "replay": (
            *(_topic(topic, prefix, "Read") for topic in (DEAD, REJECTED)),
            *_feed(prefix, [topic for inputs in STAGES.values() for topic in inputs]),
        ),
        "consume": (_topic(CLEAN, prefix, "Read"),),
        "takedown": (
            *(_topic(topic, prefix, "Read") for topic in (INGESTED, REJECTED)),
            *(_topic(topic, prefix, "Read", "Write") for topic in (CLEAN, AUDITED)),
        ),
        "audit": (
            _topic(AUDIT, prefix, "Read"),
            _topic(AUDITED, prefix, "Read", "Write"),
            _topic(CLEAN, prefix, "Write"),
            Grant("transactional-id", f"{prefix}audit-", ("Write",), "prefixed"),
        ),
        # Also for `report` and `pair`.
        "status": (
            *(_topic(topic, prefix, "Read", *DESCRIBE) for topic in TOPICS),
            *(Grant("group", prefix + stage, ("Describe",)) for stage in STAGES),
        ),
        "topics": tuple(
            _topic(topic, prefix, "Create", "Alter", "AlterConfigs", *DESCRIBE) for topic in TOPICS
        ),
    }


def merged(several: Iterable[Grant]) -> Iterator[Grant]:
    """The same rights with one ACL for each resource."""
    found: dict[Grant, dict[str, None]] = {}
    for each in several:
        operations = found.setdefault(replace(each, operations=()), {})
        operations |= dict.fromkeys(each.operations)
    for resource, operations in found.items():
        yield replace(resource, operations=tuple(operations))


def _worker(stage: str, prefix: str) -> Iterator[Grant]:
    for topic in STAGES[stage]:
        yield _topic(topic, prefix, "Read", "DescribeConfigs")
    for topic in (*OUTPUTS[stage], REJECTED, DEAD):
        yield _topic(topic, prefix, "Write", "DescribeConfigs")
    yield Grant("group", prefix + stage, ("Read",))
    yield Grant("transactional-id", f"{prefix}{stage}-", ("Write",), "prefixed")


def _feed(prefix: str, topics: Iterable[Topic]) -> Iterator[Grant]:
    """Transactions that commit records with the place in their source (`producers.feed`)."""
    for topic in topics:
        yield _topic(topic, prefix, "Write", "Read")
    yield Grant("group", f"{prefix}produce-", ("Read",), "prefixed")
    yield Grant("transactional-id", f"{prefix}produce-", ("Write",), "prefixed")


def _topic(topic: Topic, prefix: str, *operations: str) -> Grant:
    return Grant("topic", topic.prefixed(prefix).name, operations)
