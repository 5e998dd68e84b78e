"""Every size limit of the contract.

The limits fit together. Base64 makes an inline image 4/3 as large, and a dead letter holds the
original message in base64 once more. Each topic's `max_message_bytes` leaves room for the largest
record of that topic.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

MIB = 1024 * 1024

INLINE_IMAGE_BYTES = 4 * MIB
"""Largest image inside a record. A larger one goes to the blob store first (claim check)."""
TEXT_CHARS = 65_536
URL_CHARS = 8_192
NAME_CHARS = 256
DETAIL_CHARS = 4_096
LIST_ITEMS = 256
ALTERNATIVES = 4
"""Other URLs of one image. Ingest asks for each of them in the worst case."""
CAPTIONS = 64
EXTRA_KEYS = 64
EXTRA_BYTES = 16_384
"""The whole of `extra`, as UTF-8 JSON without white space."""
EXTRA_DEPTH = 32
"""Levels of nested lists and objects in `extra`. JSON parsers give up at 200 levels, and a record
may be nested in another one."""
RECORD_DEPTH = 64
"""Levels of nested lists and objects in a record that another record holds."""

RAW_MESSAGE_BYTES = 7 * MIB
RAW_BYTES = RAW_MESSAGE_BYTES - 64 * 1024
"""Most bytes of the value of such a message: the rest is room for its key, headers and frame."""
STAGE_MESSAGE_BYTES = 8 * MIB
DEAD_MESSAGE_BYTES = 12 * MIB

_INT64 = 2**63 - 1

Whole = Annotated[int, Field(ge=0, le=_INT64)]
"""Fits the columns of a shard's table: a larger number would stop the sink."""
Count = Annotated[int, Field(ge=1, le=_INT64)]
Text = Annotated[str, StringConstraints(max_length=TEXT_CHARS)]
Url = Annotated[str, StringConstraints(min_length=1, max_length=URL_CHARS)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=NAME_CHARS)]
Detail = Annotated[str, StringConstraints(max_length=DETAIL_CHARS)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
LanguageTag = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$", max_length=35)
]
"""BCP 47, for example ``en`` or ``pt-BR``."""
