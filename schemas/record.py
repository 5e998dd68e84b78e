"""The base classes of every record."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


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
