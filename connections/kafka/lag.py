"""How far a consumer group is behind, read from the broker without joining the group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from kafka import TopicPartition
from kafka.errors import KafkaError, LeaderNotAvailableError, UnknownBrokerIdError, for_code
from kafka.protocol.consumer import OffsetSpec

from kaption.connections.kafka.access import denial
from kaption.connections.kafka.messages import Partition
from kaption.connections.kafka.topics import TopicError, open_admin
from kaption.connections.patience import repeated
from kaption.connections.settings import KafkaConnection
from kaption.schemas import Topic

_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class PartitionProgress:
    """Offsets of one group in one partition. Transaction markers take offsets, too."""

    partition: Partition
    begin: int
    """The first offset in the log."""
    done: int
    """The offset after the last one that is done; without a commit, `begin`."""
    end: int
    """The offset after the last one."""


@dataclass(frozen=True, slots=True)
class GroupProgress:
    """Offsets of one group in the topics it reads."""

    partitions: tuple[PartitionProgress, ...]

    @property
    def committed(self) -> int:
        """Offsets done; partitions without a commit count from the log's start."""
        return sum(each.done for each in self.partitions)

    @property
    def lag(self) -> int:
        """Offsets to go. Transaction markers count until an idle worker commits past them."""
        return sum(max(0, each.end - each.done) for each in self.partitions)


class LagReader:
    """Reads committed offsets and log ends. A context manager.

    Raises TopicError, and Fatal where the broker refuses this client.
    """

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._client = open_admin(connection, _TIMEOUT_S)

    def progress(self, group: str, topics: Sequence[Topic]) -> GroupProgress:
        """How far `group` (with its prefix) is in `topics` (without)."""
        names = [topic.prefixed(self._connection.topic_prefix).name for topic in topics]
        try:
            # A new cluster has no coordinator for a moment, and leaders move.
            return repeated(lambda: self._progress(group, names), _passing, _TIMEOUT_S)
        except KafkaError as error:
            if missing := denial(self._connection, error):
                raise TopicError(f"offsets of {group} cannot be read: {missing}") from error
            raise TopicError(
                f"offsets of {group} cannot be read: {error}; is a topic missing? "
                "`kaption topics check` tells"
            ) from error

    def _progress(self, group: str, names: Sequence[str]) -> GroupProgress:
        partitions = []
        for topic in self._client.describe_topics(names):
            # A broker that is just coming back lists no partitions: that is not a lag of 0.
            if topic["error_code"] or not topic["partitions"]:
                raise for_code(topic["error_code"] or LeaderNotAvailableError.errno)(topic["name"])
            partitions += [
                TopicPartition(topic["name"], each["partition_index"])
                for each in topic["partitions"]
            ]
        begin = self._client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
        # Not the last stable offset: records behind an open transaction are still to be done.
        end = self._client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        commits = self._client.list_group_offsets({group: partitions})[group]
        found = []
        for each in partitions:
            commit = commits[each].offset if each in commits else -1
            first, place = begin[each].offset, Partition(each.topic, each.partition)
            found.append(PartitionProgress(place, first, max(commit, first), end[each].offset))
        return GroupProgress(tuple(found))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()


def _passing(error: BaseException) -> bool:
    # UnknownBrokerIdError: a partition has no leader, and the client looks up broker -1.
    return isinstance(error, KafkaError) and (
        bool(error.retriable) or isinstance(error, UnknownBrokerIdError)
    )
