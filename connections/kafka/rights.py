"""The rights of a worker on the broker, looked up before it starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from kafka.admin import ACLOperation
from kafka.errors import (
    AuthorizationError,
    CoordinatorNotAvailableError,
    KafkaError,
    TransactionalIdNotFoundError,
    for_code,
)

from kaption.connections.errors import Fatal, Retry
from kaption.connections.kafka.access import not_allowed
from kaption.connections.kafka.clients import admin_client
from kaption.connections.patience import repeated
from kaption.connections.settings import KafkaConnection
from kaption.schemas import Topic
from kaption.schemas.topics import DEAD, REJECTED


def check_rights(
    connection: KafkaConnection,
    stage: str,
    inputs: Sequence[Topic],
    outputs: Sequence[Topic],
    transactional_id: str,
    timeout_s: float,
) -> None:
    """Raises Fatal with every right that a worker of the stage lacks.

    Raises Retry when no broker answers. Skips topics that do not exist. Does nothing without TLS
    and SASL: such a broker cannot tell its clients apart, and the embedded one knows no rights.
    """
    if connection.security_protocol == "PLAINTEXT":
        return
    prefix = connection.topic_prefix
    reads = [prefix + topic.name for topic in inputs]
    writes = [prefix + topic.name for topic in (*outputs, REJECTED, DEAD)]

    def find() -> list[str]:
        with closing(admin_client(connection, timeout_s)) as client:
            return [
                *_topics(client, reads, ACLOperation.READ),
                *_topics(client, writes, ACLOperation.WRITE),
                *_group(client, prefix + stage),
                *_transactional_id(client, transactional_id),
            ]

    try:
        # A broker that has seen no group yet first creates the topic of their offsets.
        missing = repeated(
            find, lambda error: isinstance(error, CoordinatorNotAvailableError), timeout_s
        )
    except KafkaError as error:
        raise Retry(f"the broker cannot be asked for rights: {error!r}") from error
    if missing:
        raise Fatal(not_allowed(connection, ", ".join(missing)))


def _topics(client: Any, names: Sequence[str], operation: ACLOperation) -> Iterator[str]:
    for topic in client.describe_topics(sorted(names)):
        unseen = issubclass(for_code(topic["error_code"]), AuthorizationError)
        if unseen or _lacks(topic["authorized_operations"], operation):
            yield f"{operation.name.lower()} topic {topic['name']}"


def _group(client: Any, group: str) -> Iterator[str]:
    try:
        found = client.describe_groups([group])[group]
    except AuthorizationError:
        yield f"read group {group}"
    else:
        if _lacks(found["authorized_operations"], ACLOperation.READ):
            yield f"read group {group}"


def _transactional_id(client: Any, transactional_id: str) -> Iterator[str]:
    try:
        client.describe_transactions([transactional_id])
    except AuthorizationError:
        yield f"write transactional-id {transactional_id}"
    except TransactionalIdNotFoundError:
        return  # as it should be before the first transaction


def _lacks(operations: Sequence[str], operation: ACLOperation) -> bool:
    """Whether a right is missing. A broker that does not tell gives an empty list: then False."""
    return bool(operations) and operation.name not in operations
