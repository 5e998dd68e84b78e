"""JSON values that do not stand one on a line: in an array, in an object, or one behind another."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from enum import Enum
from typing import Any, BinaryIO

from kaption.producers.errors import SourceError
from kaption.schemas.limits import RAW_BYTES
from kaption.schemas.plain_json import read_json

_MARK = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
_BLANK = re.compile(r"[ \t\r\n]*")
_BETWEEN = re.compile(r"[ \t\r\n,\x1e]*")
_LIST = re.compile(r"\[[ \t\r\n]*\{")
_CHUNK = 1024 * 1024
_LINES = 20
# Latin-1 keeps one character for each byte. The structure of JSON is ASCII.
_DECODER = json.JSONDecoder(parse_int=str, strict=False)

Known = Callable[[Collection[str]], bool]
"""Whether one of the names is an image's or a text's."""


class Shape(Enum):
    """Where the records of a file stand."""

    LINES = "one on a line"
    ARRAY = "in an array"
    VALUES = "one behind another"
    LISTS = "in lists inside an object"


def shape_of(file: BinaryIO, known: Known) -> Shape:
    """The shape of a file, from its first megabyte. Seeks to the start."""
    start = file.read(_CHUNK).removeprefix(_MARK)
    file.seek(0)
    text = start.lstrip(_SPACE).decode("latin-1")
    if re.match(r"\[[ \t\r\n]*[\]{]", text):
        return Shape.ARRAY
    if not text.startswith("{"):
        return Shape.LINES
    try:
        value, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        # The first value is damaged, or longer than what was read.
        first = _LIST.search(text)
        if first is None or any(map(_is_object, start.split(b"\n")[:_LINES])):
            return Shape.LINES
        try:
            record, _ = _DECODER.raw_decode(text, first.end() - 1)
        except (ValueError, RecursionError):
            return Shape.LINES
        return Shape.LISTS if known(record) else Shape.LINES
    if not known(value) and _holds_records(value, known):
        return Shape.LISTS
    if "\n" in text[:end].rstrip():
        return Shape.VALUES
    # Some objects on one line are read with their line, unless the file has no other.
    alone = "\n" in text or _BETWEEN.match(text, end).end() == len(text)  # type: ignore[union-attr] # matches nothing too
    return Shape.LINES if alone else Shape.VALUES


def values_of(
    file: BinaryIO, shape: Shape, offset: int, known: Known
) -> Iterator[tuple[bytes, int]]:
    """The records behind `offset`, each with the offset behind it.

    Raises SourceError where the file is damaged, where a value does not fit into a message, and if
    an object has no list whose first value has a known name.
    """
    text = _Text(file, offset)
    if not offset:
        text.skip_mark()
    if shape is Shape.ARRAY:
        return _of_array(text, "," if offset else "[")
    if shape is Shape.VALUES:
        return _behind_another(text)
    return _in_lists(text, known, inside=offset > 0)


def joined_values(line: bytes) -> list[int]:
    """The ends of the objects on a line, if it is several and nothing else; else an empty list."""
    text, at = line.decode("latin-1"), 0
    ends: list[int] = []
    while (at := _BETWEEN.match(text, at).end()) < len(text):  # type: ignore[union-attr] # as above
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return []
        if not isinstance(value, dict):
            return []
        ends.append(at)
    return [*ends[:-1], len(line)] if len(ends) > 1 else []


class _Text:
    """A file from an offset on, of which only what is being looked at is held."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file, self._start = file, start
        self._buffer, self._at = "", 0

    @property
    def offset(self) -> int:
        """The offset of the next character in the file, in bytes."""
        return self._start + self._at

    def skip_mark(self) -> None:
        self._file.seek(0)
        self._start = len(_MARK) if self._file.read(len(_MARK)) == _MARK else 0
        self._file.seek(self._start)

    def peek(self, behind: int = 0) -> str:
        """The next character that is no space, and is passed over up to it; "" at the end.

        `behind` looks behind so many characters, and passes over nothing.
        """
        while True:
            at = _BLANK.match(self._buffer, self._at + behind).end()  # type: ignore[union-attr] # as above
            if at < len(self._buffer) or not self._more():
                break
        self._at = self._at if behind else at
        return self._buffer[at : at + 1]

    def skip(self) -> None:
        """Pass over one character."""
        self._at += 1

    def value(self) -> bytes:
        """The next value, which is passed over. Raises SourceError if it is none."""
        while True:
            try:
                _, end = _DECODER.raw_decode(self._buffer, self._at)
                break
            except (ValueError, RecursionError) as error:
                if len(self._buffer) - self._at > RAW_BYTES or not self._more():
                    raise SourceError(
                        f"the value at byte {self.offset} is not JSON or larger than "
                        f"{RAW_BYTES} bytes: {error}"
                    ) from error
        raw, self._at = self._buffer[self._at : end].encode("latin-1"), end
        if self._at > _CHUNK:
            self._buffer, self._start, self._at = self._buffer[end:], self._start + end, 0
        return raw

    def _more(self) -> bool:
        part = self._file.read(max(_CHUNK, len(self._buffer)))
        self._buffer += part.decode("latin-1")
        return bool(part)


def _of_array(text: _Text, expected: str) -> Iterator[tuple[bytes, int]]:
    while (found := text.peek()) != "]":
        if not found:
            raise SourceError(
                f"the array ends at byte {text.offset} without a ]: the file is cut, fetch it again"
            )
        if found != expected:
            raise SourceError(f"no {expected!r} but {found!r} at byte {text.offset} of the array")
        text.skip()
        expected = ","
        if text.peek() == "]":
            return
        yield text.value(), text.offset


def _behind_another(text: _Text) -> Iterator[tuple[bytes, int]]:
    while found := text.peek():
        if found in ",\x1e":
            text.skip()
        else:
            yield text.value(), text.offset


def _in_lists(text: _Text, known: Known, *, inside: bool) -> Iterator[tuple[bytes, int]]:
    wanted, read, depth = inside, inside, 1 if inside else 0
    while found := text.peek():
        if inside and found == "]":
            inside = False
        elif inside and found != ",":
            raw = text.value()
            if wanted:
                yield raw, text.offset
            continue
        elif found == "[" and text.peek(1) == "{":
            text.skip()
            text.peek()
            first = text.value()
            inside, wanted = True, _has_known(first, known)
            read = read or wanted
            if wanted:
                yield first, text.offset
            continue
        elif found not in "{},:":
            text.value()
            continue
        depth += {"{": 1, "}": -1}.get(found, 0)
        text.skip()
    if inside or depth > 0:
        raise SourceError(
            f"the file ends at byte {text.offset} inside a value: it is cut, fetch it again"
        )
    if not read:
        raise SourceError(
            "the object holds no list of objects with known names: give -o image_column and"
            " -o text_column"
        )


def _has_known(raw: bytes, known: Known) -> bool:
    try:
        value = read_json(raw)
    except ValueError:
        return False
    return isinstance(value, dict) and known(value)


def _holds_records(value: dict[str, Any], known: Known) -> bool:
    """Whether the object, or one in it, has a list that begins with an object of known names."""
    left: list[Any] = [value]
    while left:
        held = left.pop()
        for each in held.values():
            first = each[0] if isinstance(each, list) and each else None
            if isinstance(first, dict) and known(first):
                return True
            if isinstance(each, dict):
                left.append(each)
    return False


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(read_json(line), dict)
    except ValueError:
        return False
