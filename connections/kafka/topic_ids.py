"""The ids of topics, which tell a topic from an earlier one of the same name."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator, Mapping
from threading import Lock
from typing import Any
from uuid import UUID

from kafka.errors import (
    AuthorizationError,
    KafkaError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from kaption.connections.errors import Fatal
from kaption.connections.kafka.access import not_allowed
from kaption.connections.kafka.clients import admin_client
from kaption.connections.patience import repeated
from kaption.connections.settings import KafkaConnection


class TopicIds:
    """The id of each topic, as it was when this object first asked for it. Any thread.

    An offset names a message only together with the topic's id: a topic that was deleted and
    created again has the same name, and other messages at the same offsets. A consumer that fetches
    by ids (`fetch_by_id`) gets no record of another topic. What was fetched by the name, from a
    broker before Kafka 3.1, belongs to the id that `of` gives if `check` finds the same id once
    more afterwards.

    The client is one of its own: a broker answers the requests of a connection one after the
    other, and a consumer's fetch may wait there for half a second.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        timeout_s: float,
        remedy: str = "start again, to read it from its start",
    ) -> None:
        """`timeout_s`: how long to wait for a broker that is away. `remedy` ends the error."""
        self._connection = connection
        self._timeout_s = timeout_s
        self._remedy = remedy
        self._lock = Lock()
        self._client: Any = None
        self._known: dict[str, str] = {}

    @property
    def known(self) -> Mapping[str, str]:
        """The ids by topic; without topics whose id is not known."""
        return self._known

    def of(self, topic: str) -> str | None:
        """The topic's id, in the form that Kafka's own tools print.

        None before `check`, and where the broker does not tell it (before Kafka 2.8).
        """
        return self._known.get(topic)

    def uuid(self, topic: str) -> UUID | None:
        """The id as a UUID, which requests carry; None as in `of`."""
        known = self.of(topic)
        return None if known is None else UUID(bytes=base64.urlsafe_b64decode(known + "=="))

    def check(self, topics: Collection[str], *, patient: bool = True) -> list[str]:
        """Ask the broker. Returns why topics cannot be read now, each with what to do.

        If not `patient`, a broker that is away is not asked again. Raises KafkaError, and Fatal
        where a topic is another one than before.
        """
        unreadable: list[str] = []
        for topic in repeated(
            lambda: self._ask(topics), _passing, self._timeout_s if patient else 0
        ):
            unreadable.extend(_unreadable(self._connection, topic))
            # None or zero: there is no such topic just now, or the broker is old.
            if not topic["topic_id"]:
                continue
            found = _printed(UUID(str(topic["topic_id"])))
            known = self._known.setdefault(topic["name"], found)
            if found != known:
                raise Fatal(
                    f"topic {topic['name']} was deleted and created again meanwhile (its id was "
                    f"{known} and is {found}): {self._remedy}"
                )
        return unreadable

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def _ask(self, topics: Collection[str]) -> Any:
        with self._lock:
            if self._client is None:
                self._client = admin_client(self._connection, self._timeout_s)
            return self._client.describe_topics(sorted(topics))


def _passing(error: BaseException) -> bool:
    return isinstance(error, KafkaError) and not isinstance(error, AuthorizationError)


def _unreadable(connection: KafkaConnection, topic: Mapping[str, Any]) -> Iterator[str]:
    name, code = topic["name"], topic["error_code"]
    if code == UnknownTopicOrPartitionError.errno:
        yield f"there is no topic {name} any more: run `kaption topics create`, then start again"
    elif code == TopicAuthorizationFailedError.errno:
        yield not_allowed(connection, f"read topic {name}")
    elif code:
        yield f"topic {name}: {for_code(code)()}"
    away = [each["partition_index"] for each in topic["partitions"] if each["leader_id"] < 0]
    if away:
        yield (
            f"topic {name} has no leader for partition {', '.join(map(str, sorted(away)))}: start "
            "the brokers that hold it, or let another replica lead"
        )


def _printed(found: UUID) -> str:
    return base64.urlsafe_b64encode(found.bytes).decode().rstrip("=")
