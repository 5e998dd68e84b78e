"""Topics on a broker: create them, compare them with the contract, change what differs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Self

from kafka import TopicPartition
from kafka.admin import ConfigResource
from kafka.errors import (
    AuthorizationError,
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from kafka.protocol.consumer import OffsetSpec

from kaption.connections.errors import Retry
from kaption.connections.kafka.access import denial, not_allowed, opened
from kaption.connections.kafka.clients import admin_client
from kaption.connections.kafka.topic_state import (
    EXISTS,
    MESSAGE_BYTES,
    PARTITIONS,
    Difference,
    PartitionOffsets,
    TopicState,
    differences,
)
from kaption.connections.settings import KafkaConnection
from kaption.schemas import Topic


class TopicError(Exception):
    """The broker does not answer or refuses a change; the message says what to do."""


def open_admin(connection: KafkaConnection, timeout_s: float) -> Any:
    """An admin client. Raises TopicError, and Fatal where the broker refuses this client."""
    try:
        return opened(connection, timeout_s, lambda: admin_client(connection, timeout_s))
    except Retry as error:
        raise TopicError(str(error)) from error


def message_limit(connection: KafkaConnection, topic: str, timeout_s: float) -> int | None:
    """A topic's max.message.bytes; None where the broker does not tell it. Raises KafkaError.

    `topic` is the name on the broker.
    """
    resource = ConfigResource("TOPIC", topic)
    with closing(admin_client(connection, timeout_s)) as admin:
        found = admin.describe_configs([resource], config_filter="all")["topic"]
    setting = found[topic].get(MESSAGE_BYTES)
    return int(setting["value"]) if setting else None


class TopicAdmin:
    """Applies topics to a broker. Arguments are as in `schemas.TOPICS`, without the prefix.

    Every call raises TopicError; the constructor also raises Fatal where the broker refuses this
    client. A context manager; otherwise call `close`.
    """

    def __init__(self, connection: KafkaConnection, timeout_s: float = 30.0) -> None:
        self._connection = connection
        self._client = open_admin(connection, timeout_s)

    def create(self, topics: Sequence[Topic]) -> list[str]:
        """Create what is missing and return the names. Existing topics stay as they are."""
        wanted = self._prefixed(topics)
        partitions = self._partitions(wanted)
        missing = [topic for topic in wanted if not partitions[topic.name]]
        if not missing:
            return []
        with self._asking("create topics"):
            answer = self._client.create_topics(
                {
                    topic.name: {
                        "num_partitions": topic.partitions,
                        "replication_factor": self._connection.replication_factor,
                        "configs": topic.config(),
                    }
                    for topic in missing
                },
                raise_errors=False,
            )
            for result in answer["topics"]:
                # Another client may have created it since the look above: that is as good.
                if for_code(result["error_code"]) is not TopicAlreadyExistsError:
                    _accept(result["name"], result["error_code"], result["error_message"])
            self._client.wait_for_topics([topic.name for topic in missing])
        return [topic.name for topic in missing]

    def delete(self, topics: Sequence[Topic], groups: Iterable[str] = ()) -> list[str]:
        """Delete topics with all their records, and consumer groups; return what was deleted.

        `groups` are without the prefix. A name that ends with - stands for every group whose name
        begins with it. Raises TopicError, and deletes nothing, where a group has members.
        """
        there = [name for name, count in self._partitions(self._prefixed(topics)).items() if count]
        prefix = self._connection.topic_prefix
        with self._asking("delete topics and groups"):
            known = [each["group_id"] for each in self._client.list_groups()]
            found = [
                each
                for each in known
                if any(_is_group(each, f"{prefix}{group}") for group in groups)
            ]
            # Groups first: one with members shows that somebody still uses the topics.
            for group, answer in dict(self._client.delete_groups(found) if found else {}).items():
                if answer not in ("OK", "GroupIdNotFoundError"):
                    raise TopicError(f"consumer group {group}: {answer}; stop its workers first")
            if there:
                self._client.delete_topics(there)
        return [*sorted(there), *found]

    def check(self, topics: Sequence[Topic]) -> list[Difference]:
        """Each difference from the contract; more partitions than it has are no difference."""
        return [
            difference
            for topic, partitions, config in self._found(topics)
            for difference in differences(topic, partitions, config)
        ]

    def apply(self, topics: Sequence[Topic]) -> list[Difference]:
        """Create topics, add partitions, change settings; return the differences that it found.

        After partitions were added, a key's new records go to another partition than its old ones.
        Only the caller can know that this is wanted.
        """
        found = self.check(topics)
        self.create(topics)
        counts = {each.topic: int(each.expected) for each in found if each.setting == PARTITIONS}
        if counts:
            self._add_partitions(counts)
        settings: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for each in found:
            if each.setting not in (EXISTS, PARTITIONS):
                settings[each.topic][each.setting] = each.expected
        if settings:
            self._set(settings)
        return found

    def describe(self, topics: Sequence[Topic]) -> list[TopicState]:
        """Settings and offsets of each topic, in the order given."""
        found = self._found(topics)
        ids = [TopicPartition(it.name, at) for it, count, _ in found for at in range(count)]
        offsets = self._client.list_partition_offsets
        with self._asking("read offsets"):
            begin = _read(lambda: offsets(dict.fromkeys(ids, OffsetSpec.EARLIEST)))
            end = _read(lambda: offsets(dict.fromkeys(ids, OffsetSpec.LATEST)))
        return [
            TopicState(
                topic=topic.name,
                config=config,
                partitions=tuple(
                    PartitionOffsets(begin[each].offset, end[each].offset)
                    for each in ids
                    if each.topic == topic.name
                ),
            )
            for topic, _, config in found
        ]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _prefixed(self, topics: Sequence[Topic]) -> list[Topic]:
        return [topic.prefixed(self._connection.topic_prefix) for topic in topics]

    def _found(self, topics: Sequence[Topic]) -> list[tuple[Topic, int, dict[str, str]]]:
        """The topics with their partitions and settings on the broker."""
        wanted = self._prefixed(topics)
        partitions = self._partitions(wanted)
        config = self._config(partitions)
        return [(topic, partitions[topic.name], config[topic.name]) for topic in wanted]

    def _partitions(self, topics: Sequence[Topic]) -> dict[str, int]:
        """How many partitions each topic has; 0 where it does not exist."""
        with self._asking("read topics"):
            found = _read(lambda: self._client.describe_topics([topic.name for topic in topics]))
            for topic in found:
                if for_code(topic["error_code"]) is not UnknownTopicOrPartitionError:
                    _accept(topic["name"], topic["error_code"], None)
        return {topic["name"]: len(topic["partitions"]) for topic in found}

    def _config(self, existing: dict[str, int]) -> dict[str, dict[str, str]]:
        """Settings by topic; `existing` gives their partitions."""
        # All settings of each topic: Tansu drops the connection when asked for some by name.
        resources = [ConfigResource("TOPIC", name) for name in existing]
        with self._asking("read topic settings"):
            answer = _read(lambda: self._client.describe_configs(resources, config_filter="all"))
        found = answer["topic"]
        # kafka-python drops the broker's refusal and returns no settings.
        if self._connection.security_protocol != "PLAINTEXT" and (
            unread := [name for name, count in existing.items() if count and not found[name]]
        ):
            raise TopicError(
                not_allowed(self._connection, f"read the settings of {', '.join(unread)}")
            )
        return {
            topic: {name: str(setting["value"]) for name, setting in settings.items()}
            for topic, settings in found.items()
        }

    def _add_partitions(self, counts: dict[str, int]) -> None:
        with self._asking("add partitions"):
            try:
                answer = self._client.create_partitions(counts, raise_errors=False)
            except IncompatibleBrokerVersion as error:
                raise TopicError(
                    f"this broker cannot add partitions to {', '.join(sorted(counts))}: "
                    "delete these topics and create them again"
                ) from error
            for result in answer.results:
                _accept(result.name, result.error_code, result.error_message)

    def _set(self, settings: dict[str, dict[str, str]]) -> None:
        resources = [ConfigResource("TOPIC", name, values) for name, values in settings.items()]
        with self._asking("change topic settings"):
            # Do not check against known names first: Tansu knows only those that were set.
            answer = self._client.alter_configs(resources, raise_on_unknown=False)
        for name, result in answer["topic"].items():
            if result != "OK":
                raise TopicError(f"{name}: {result}")

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except KafkaError as error:
            if missing := denial(self._connection, error):
                raise TopicError(f"could not {what}: {missing}") from error
            raise TopicError(
                f"could not {what}: {error}; check that the broker at "
                f"{self._connection.bootstrap} runs and lets this user do that"
            ) from error


def _read(ask: Callable[[], Any]) -> Any:
    """Ask for what changes nothing, and once more where the connection was lost meanwhile.

    A broker closes a connection that was idle for long or whose token ran out. A change is not
    asked for twice: the broker may have made it.
    """
    try:
        return ask()
    except KafkaConnectionError:
        return ask()


def _is_group(found: str, name: str) -> bool:
    return found == name or (name.endswith("-") and found.startswith(name))


def _accept(topic: str, error_code: int, message: str | None) -> None:
    error = for_code(error_code)
    if issubclass(error, AuthorizationError):
        raise error(topic)
    if error_code:
        raise TopicError(f"{topic}: {message or for_code(error_code).__name__}")
