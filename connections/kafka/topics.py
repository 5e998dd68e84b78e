"""Topics on a broker: create them, say where they differ from the contract, mend that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from kafka import TopicPartition
from kafka.admin import ConfigResource, KafkaAdminClient
from kafka.errors import (
    AuthorizationError,
    IncompatibleBrokerVersion,
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from kafka.protocol.consumer import OffsetSpec

from kaption.connections.kafka.access import check_access, denial, not_allowed
from kaption.connections.settings import KafkaConnection
from kaption.schemas import Topic

_EXISTS = "exists"
_PARTITIONS = "partitions"
_MESSAGE_BYTES = "max.message.bytes"


class TopicError(Exception):
    """The broker does not answer or refuses a change; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which a topic on the broker is not as the contract says."""

    topic: str
    setting: str
    """``exists``, ``partitions`` or a topic setting's name on the broker."""
    expected: str
    found: str
    remedy: str

    @property
    def stops_work(self) -> bool:
        """The topic is missing, or takes smaller messages than the contract allows.

        A batch that the broker finds too large makes kafka-python 3.0.12 split it, and a
        transaction of which one was split never ends.
        """
        if self.setting == _MESSAGE_BYTES and self.found.isdecimal():
            return int(self.found) < int(self.expected)
        return self.setting == _EXISTS

    def __str__(self) -> str:
        return (
            f"{self.topic}: {self.setting} is {self.found}, should be {self.expected}; "
            f"{self.remedy}"
        )


@dataclass(frozen=True, slots=True)
class PartitionOffsets:
    """The first offset in a partition's log, and the one after the last.

    Tansu gives the first offset of the last batch plus one as `end`: there it may be too low.
    """

    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as it is on the broker; without partitions it is not there."""

    topic: str
    config: dict[str, str]
    """Every setting, in the broker's names."""
    partitions: tuple[PartitionOffsets, ...]

    @property
    def records(self) -> int:
        """Offsets in the log: at least the number of records, since transaction markers and what
        compaction took away count as well."""
        return sum(partition.end - partition.begin for partition in self.partitions)


class TopicAdmin:
    """Applies topics to a broker. Arguments are as in `schemas.TOPICS`, without the prefix.

    Every call raises TopicError, and the first one Fatal where the broker refuses this client. A
    context manager; otherwise call `close`.
    """

    def __init__(self, connection: KafkaConnection, timeout_s: float = 30.0) -> None:
        self._connection = connection
        timeout_ms = int(timeout_s * 1000)
        seen = check_access(connection)
        try:
            self._client = KafkaAdminClient(
                **connection.client_config(),
                request_timeout_ms=timeout_ms,
                bootstrap_timeout_ms=timeout_ms,
            )
        except KafkaError as error:
            raise TopicError(
                f"no Kafka broker answers at {connection.bootstrap}: {seen or error}"
            ) from error

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
                # Somebody else may have created it since we looked, which is what was wanted.
                if for_code(result["error_code"]) is not TopicAlreadyExistsError:
                    _accept(result["name"], result["error_code"], result["error_message"])
            self._client.wait_for_topics([topic.name for topic in missing])
        return [topic.name for topic in missing]

    def check(self, topics: Sequence[Topic]) -> list[Difference]:
        """What is not as the contract says. More partitions than that are no difference."""
        wanted = self._prefixed(topics)
        partitions = self._partitions(wanted)
        config = self._config(partitions)
        return [
            difference
            for topic in wanted
            for difference in _differences(topic, partitions[topic.name], config[topic.name])
        ]

    def apply(self, topics: Sequence[Topic]) -> list[Difference]:
        """Create what is missing, add partitions, set settings; returns what was mended.

        Added partitions take new records of old keys away from where these keys are, so only the
        caller can know that they are wanted.
        """
        found = self.check(topics)
        self.create(topics)
        counts = {each.topic: int(each.expected) for each in found if each.setting == _PARTITIONS}
        if counts:
            self._add_partitions(counts)
        settings: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for each in found:
            if each.setting not in (_EXISTS, _PARTITIONS):
                settings[each.topic][each.setting] = each.expected
        if settings:
            self._set(settings)
        return found

    def describe(self, topics: Sequence[Topic]) -> list[TopicState]:
        """Settings and offsets of each topic, in the order given."""
        wanted = self._prefixed(topics)
        partitions = self._partitions(wanted)
        config = self._config(partitions)
        ids = [
            TopicPartition(name, number)
            for name, count in partitions.items()
            for number in range(count)
        ]
        with self._asking("read offsets"):
            begin = self._client.list_partition_offsets(dict.fromkeys(ids, OffsetSpec.EARLIEST))
            end = self._client.list_partition_offsets(dict.fromkeys(ids, OffsetSpec.LATEST))
        return [
            TopicState(
                topic=topic.name,
                config=config[topic.name],
                partitions=tuple(
                    PartitionOffsets(begin[each].offset, end[each].offset)
                    for each in ids
                    if each.topic == topic.name
                ),
            )
            for topic in wanted
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

    def _partitions(self, topics: Sequence[Topic]) -> dict[str, int]:
        """How many partitions each topic has; 0 where it is not there."""
        with self._asking("read topics"):
            found = self._client.describe_topics([topic.name for topic in topics])
            for topic in found:
                if for_code(topic["error_code"]) is not UnknownTopicOrPartitionError:
                    _accept(topic["name"], topic["error_code"], None)
        return {topic["name"]: len(topic["partitions"]) for topic in found}

    def _config(self, existing: dict[str, int]) -> dict[str, dict[str, str]]:
        """By topic; `existing` gives their partitions."""
        # All settings of each topic: Tansu drops the connection when asked for some by name.
        resources = [ConfigResource("TOPIC", name) for name in existing]
        with self._asking("read topic settings"):
            found = self._client.describe_configs(resources, config_filter="all")["topic"]
        # kafka-python drops the broker's refusal and gives no settings.
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
            # Not checked against known names first: Tansu knows only those that were set.
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


def _accept(topic: str, error_code: int, message: str | None) -> None:
    error = for_code(error_code)
    if issubclass(error, AuthorizationError):
        raise error(topic)
    if error_code:
        raise TopicError(f"{topic}: {message or for_code(error_code).__name__}")


def _differences(topic: Topic, partitions: int, config: dict[str, str]) -> Iterator[Difference]:
    if not partitions:
        yield Difference(topic.name, _EXISTS, "yes", "no", "run `kaption topics create`")
        return
    if partitions < topic.partitions:
        yield Difference(
            topic.name,
            _PARTITIONS,
            str(topic.partitions),
            str(partitions),
            "run `kaption topics create --alter`: then new records of old keys go elsewhere",
        )
    for name, value in topic.config().items():
        found = config.get(name, "unset")
        if _comparable(found) != _comparable(value):
            yield Difference(topic.name, name, value, found, "run `kaption topics create --alter`")


def _comparable(value: str) -> set[str]:
    """Lists of settings (cleanup.policy) have no order."""
    return set(value.split(","))
