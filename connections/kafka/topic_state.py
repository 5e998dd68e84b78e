"""What a topic on a broker is like, and where it differs from the contract."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kaption.schemas import Topic

EXISTS = "exists"
PARTITIONS = "partitions"
MESSAGE_BYTES = "max.message.bytes"
_ALTER = "run `kaption topics create --alter`"


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

        kafka-python 3.0.12 splits a batch that the broker finds too large, and a transaction with
        a split batch never ends.
        """
        if self.setting == MESSAGE_BYTES and self.found.isdecimal():
            return int(self.found) < int(self.expected)
        return self.setting == EXISTS

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
    """A topic on the broker; it has no partitions if it does not exist."""

    topic: str
    config: dict[str, str]
    """Every setting, in the broker's names."""
    partitions: tuple[PartitionOffsets, ...]

    @property
    def records(self) -> int:
        """Offsets in the log, an upper bound for the number of records: transaction markers and
        records that compaction removed count as well."""
        return sum(partition.end - partition.begin for partition in self.partitions)


def differences(topic: Topic, partitions: int, config: dict[str, str]) -> Iterator[Difference]:
    """Where a topic with these settings differs from `topic`; 0 partitions: it does not exist.

    More partitions than the contract has are no difference.
    """
    if not partitions:
        yield Difference(topic.name, EXISTS, "yes", "no", "run `kaption topics create`")
        return
    if partitions < topic.partitions:
        yield Difference(
            topic.name,
            PARTITIONS,
            str(topic.partitions),
            str(partitions),
            f"{_ALTER}: then new records of old keys go elsewhere",
        )
    for name, value in topic.config().items():
        found = config.get(name, "unset")
        if _comparable(found) != _comparable(value):
            yield Difference(topic.name, name, value, found, _ALTER)


def _comparable(value: str) -> set[str]:
    """The parts of a setting that is a list (cleanup.policy): they have no order."""
    return set(value.split(","))
