"""The ACLs that each part of Kaption needs on a Kafka that asks who may do what."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from kaption.schemas import TOPICS, Topic
from kaption.schemas.topics import CLEAN, DEAD, INGESTED, RAW, REJECTED
from kaption.workers.wiring import OUTPUTS, STAGES

DESCRIBE = ("Describe", "DescribeConfigs")


@dataclass(frozen=True, slots=True)
class Grant:
    """What somebody may do to a resource, in the words of kafka-acls.sh. Nobody is denied."""

    resource: Literal["topic", "group", "transactional-id"]
    name: str
    operations: tuple[str, ...]
    """Read and Write include Describe."""
    pattern: Literal["literal", "prefixed"] = "literal"

    def command(self, principal: str, bootstrap: str) -> str:
        """One line for a shell."""
        operations = [word for each in self.operations for word in ("--operation", each)]
        words = [
            *("kafka-acls.sh", "--bootstrap-server", bootstrap, "--command-config"),
            *("admin.properties", "--add", "--allow-principal", principal, *operations),
            *(f"--{self.resource}", self.name, "--resource-pattern-type", self.pattern),
        ]
        return shlex.join(words)


def grants(prefix: str) -> dict[str, tuple[Grant, ...]]:
    """By who needs them: each stage's workers, and the commands; `prefix` is of the topics."""
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
            _topic(CLEAN, prefix, "Read", "Write"),
        ),
        "status": (
            *(_topic(topic, prefix, *DESCRIBE) for topic in TOPICS),
            *(_topic(topic, prefix, "Read") for topic in (REJECTED, DEAD)),
            *(Grant("group", prefix + stage, ("Describe",)) for stage in STAGES),
        ),
        "topics": tuple(
            _topic(topic, prefix, "Create", "Alter", "AlterConfigs", *DESCRIBE) for topic in TOPICS
        ),
    }


def merged(several: Iterable[Grant]) -> Iterator[Grant]:
    """The same rights, each resource once."""
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
    """Transactions that commit the place in a source with its records (`producers.feed`)."""
    for topic in topics:
        yield _topic(topic, prefix, "Write", "Read")
    yield Grant("group", f"{prefix}produce-", ("Read",), "prefixed")
    yield Grant("transactional-id", f"{prefix}produce-", ("Write",), "prefixed")


def _topic(topic: Topic, prefix: str, *operations: str) -> Grant:
    return Grant("topic", topic.prefixed(prefix).name, operations)
