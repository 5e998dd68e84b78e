"""The size of everything in the contract, in one place.

The sums work out: an inline image grows by 4/3 in base64, a dead letter carries the original bytes
in base64 once more, and each topic's `max_message_bytes` leaves room for what is written to it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

MIB = 1024 * 1024

INLINE_IMAGE_BYTES = 4 * MIB
"""Largest image inside a record; a larger one goes to the blob store first (claim check)."""
TEXT_CHARS = 65_536
URL_CHARS = 8_192
NAME_CHARS = 256
DETAIL_CHARS = 4_096
LIST_ITEMS = 256
CAPTIONS = 64
EXTRA_KEYS = 64
EXTRA_BYTES = 16_384
"""All of `extra` as JSON in UTF-8, without white space."""
EXTRA_DEPTH = 32
"""Lists and objects inside each other in `extra`; parsers stop at 200, and records nest."""
RECORD_DEPTH = 64
"""The same for a whole record inside another one."""

RAW_MESSAGE_BYTES = 7 * MIB
STAGE_MESSAGE_BYTES = 8 * MIB
DEAD_MESSAGE_BYTES = 12 * MIB

Text = Annotated[str, StringConstraints(max_length=TEXT_CHARS)]
Url = Annotated[str, StringConstraints(min_length=1, max_length=URL_CHARS)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=NAME_CHARS)]
Detail = Annotated[str, StringConstraints(max_length=DETAIL_CHARS)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
LanguageTag = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$", max_length=35)
]
"""BCP 47, for example ``en`` or ``pt-BR``."""
