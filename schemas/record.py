"""The base of every record on the wire."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen value that travels as JSON.

    Unknown fields are ignored, so that a reader of today accepts what a later writer adds; the
    records a crawler writes keep them instead (see `kaption.schemas.pair.Pair`).
    """

    # JSON has no NaN: it would be written as null and read as something else.
    model_config = ConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, use_attribute_docstrings=True
    )


class Versioned(Record):
    """A record that is a Kafka message of its own: its name and version go into a header."""

    schema_version: ClassVar[int] = 1

    @classmethod
    def schema_name(cls) -> str:
        """The header value that names this schema, for example ``RawPair/1``."""
        return f"{cls.__name__}/{cls.schema_version}"
