"""The base classes of every record, and the position of a message in Kafka."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

_POSITION = re.compile(
    r"([A-Za-z0-9._-]{1,249})/([0-9]{1,10})/([0-9]{1,19})(?:/([A-Za-z0-9_-]{22}))?"
)


class Record(BaseModel):
    """A frozen value that travels as JSON.

    A reader ignores unknown fields, so that it accepts the records of a newer writer. A `Pair`
    keeps them in `extra` instead.
    """

    # JSON has no NaN: pydantic would write null, and a reader would see a missing value.
    model_config = ConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, use_attribute_docstrings=True
    )


class Versioned(Record):
    """A record that is a Kafka message or a file of its own.

    The header ``kaption-schema`` of the message holds the record's name and version.
    """

    schema_version: ClassVar[int] = 1

    @classmethod
    def schema_name(cls) -> str:
        """The value of the header ``kaption-schema``, for example ``RawPair/1``."""
        return f"{cls.__name__}/{cls.schema_version}"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """topic/partition/offset of a message, and the topic's id where it is known.

    A record's *origin* is its first position in pairs.raw. The origin owns the record's dedup
    claims, and it stays the same when the record is replayed.
    """

    topic: str
    partition: int
    offset: int
    topic_id: str | None = None
    """As Kafka prints it: 22 characters. A topic that was deleted and created again has the same
    name and the same offsets, but another id."""

    def __str__(self) -> str:
        log = f"/{self.topic_id}" if self.topic_id else ""
        return f"{self.topic}/{self.partition}/{self.offset}{log}"

    def may_be(self, other: Position) -> bool:
        """Whether both may be one message: an id that is not known is no difference."""
        mine, theirs = ((each.topic, each.partition, each.offset) for each in (self, other))
        return mine == theirs and not differ(self.topic_id, other.topic_id)

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read ``topic/partition/offset`` or ``topic/partition/offset/topic-id``.

        Raises ValueError.
        """
        match = _POSITION.fullmatch(text)
        if match is None:
            raise ValueError(f"not topic/partition/offset: {text[:300]!r}")
        return cls(match[1], int(match[2]), int(match[3]), match[4])


def differ(one: str | None, other: str | None) -> bool:
    """Whether two topic ids are those of different topics; None: not known, which may be any."""
    return one is not None and other is not None and one != other
