"""Pairs from a file of JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError
from pydantic_core import from_json

from producers.identity import identified
from producers.image import image_source
from schemas import RawPair
from schemas.limits import RAW_MESSAGE_BYTES
from schemas.wire import explain

SOURCE_LINE_HEADER = "kaption-source-line"
SOURCE_ERROR_HEADER = "kaption-source-error"

# Room for the key, the headers and the frame of a message.
LINE_BYTES = RAW_MESSAGE_BYTES - 64 * 1024


@dataclass(frozen=True, slots=True)
class UnreadableLine:
    """A line that is no pair.

    Published as it is, with its headers, it becomes a dead letter that tells where it came from.
    """

    file_name: str
    line_number: int
    """From 1."""
    raw: bytes
    """Without the line break; of a line above `LINE_BYTES` only the first so many."""
    error: str

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """Kafka headers: file name and line number, and what is wrong."""
        line = f"{self.file_name}:{self.line_number}"
        return [
            (SOURCE_LINE_HEADER, line.encode(errors="replace")),
            (SOURCE_ERROR_HEADER, self.error.encode(errors="replace")),
        ]


class _NotAPairError(Exception):
    """What is wrong with a line."""


def read(path: Path) -> Iterator[RawPair | UnreadableLine]:
    """Each line in turn; empty lines are passed over. Raises OSError where the file is unreadable.

    Fields are those of RawPair, and two may be shorter: `image` may be a string, a URL or the path
    of an image beside the file, which is put inline; `pair_id` may be left out.
    """
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LINE_BYTES + 2):
            number += 1
            raw = line.rstrip(b"\r\n")
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if len(raw) > LINE_BYTES:
                length = len(raw) + _skip_line(file, line)
                yield UnreadableLine(
                    path.name,
                    number,
                    raw[:LINE_BYTES],
                    f"the line has {length} bytes, the limit is {LINE_BYTES}: give large images by "
                    "URL or path",
                )
            elif raw.strip():
                try:
                    yield _pair(raw, path.parent)
                except _NotAPairError as error:
                    yield UnreadableLine(path.name, number, raw, str(error))


def _skip_line(file: BinaryIO, line: bytes) -> int:
    """Go to the next line; how many bytes that was."""
    skipped = 0
    while line and not line.endswith(b"\n"):
        line = file.readline(1024 * 1024)
        skipped += len(line.rstrip(b"\r\n"))
    return skipped


def _pair(raw: bytes, folder: Path) -> RawPair:
    try:
        fields = from_json(raw)
    except ValueError as error:
        raise _NotAPairError(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise _NotAPairError("not a JSON object")
    if isinstance(fields.get("image"), str):
        try:
            fields["image"] = image_source(fields["image"], folder)
        except ValidationError as error:
            raise _NotAPairError(explain(error, RawPair)) from error
        except (OSError, ValueError) as error:
            raise _NotAPairError(str(error)) from error
    try:
        return identified(fields)
    except ValidationError as error:
        raise _NotAPairError(explain(error, RawPair)) from error
