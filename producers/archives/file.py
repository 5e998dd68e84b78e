"""The bytes of one WARC file, plain or compressed, that can be read from any of its records."""

from __future__ import annotations

import io
import re
import zlib
from itertools import islice
from typing import Any, BinaryIO, cast

from kaption.producers.errors import SourceError

_START = b"WARC/"
_ARC = b"filedesc:"
_GZIP = b"\x1f\x8b\x08"
_ZSTD = b"\x28\xb5\x2f\xfd"
_DICTIONARY = b"\x5d\x2a\x4d\x18"
_DICTIONARY_BYTES = 16 * 1024 * 1024
_CHUNK = 1024 * 1024
_PART = 4 * 1024
_PROBE = 1024
_LINE = 64
# Broken records in a row after which the search takes longer steps.
_FAILURES = 64
_LENGTH = re.compile(rb"(?<=\n)content-length:", re.IGNORECASE)
_HEADERS_END = re.compile(rb"\r?\n\r?\n")


class ArchiveFile:
    """One WARC file: bytes of a file from `start` on, in which records can be found again."""

    def __init__(
        self, name: str, file: BinaryIO, start: int = 0, size: int | None = None, ended: str = ""
    ) -> None:
        self.name = name
        self.ended = ended
        """Why it ends where it does, if damage ended it."""
        self.renamed = False
        """Whether the name of the length is read in any case: fastwarc reads Content-Length alone.
        """
        self.size = file.seek(0, io.SEEK_END) - start if size is None else size
        self._file, self._start = file, start
        # A dictionary for all frames (the WARC-zstd format, 0.9) comes before each read again.
        self._prefix = b""
        self._first = 0
        head = self.bytes_at(0, 8)
        if head.startswith(_DICTIONARY):
            self._first = len(head) + int.from_bytes(head[4:], "little")
            self._prefix = self._dictionary()
            head = self.bytes_at(self._first, 8)
        self._mark = next((each for each in (_GZIP, _ZSTD) if head.startswith(each)), _START)
        # Some writers end lines as Unix does. Reading these leniently passes over damage unseen.
        line = self._beginning(self._first).partition(b"\n")[0]
        self.lenient = line.startswith(_START) and not line.endswith(b"\r")

    @property
    def plain(self) -> bool:
        """Whether it is not compressed."""
        return self._mark == _START

    def bytes_at(self, position: int, size: int) -> bytes:
        """The file's bytes as they are, at most up to its end."""
        size = max(0, min(size, self.size - position))
        before = min(position, _LINE) if self.renamed else 0
        after = _LINE if self.renamed else 0
        self._file.seek(self._start + position - before)
        content = self._file.read(before + size + after)
        if self.renamed:
            content = _LENGTH.sub(b"Content-Length:", content)
        return content[before : before + size]

    def stream(self, position: int = 0) -> tuple[BinaryIO, int]:
        """A stream that begins with a record, and what its offsets lack to those of the file."""
        position = max(position, self._first)
        return cast("BinaryIO", _Rest(self, position, self._prefix)), position - len(self._prefix)

    def next_starts(self, position: int) -> tuple[int, int]:
        """Where the next record seems to begin, behind `position`, and where one really does.

        The file's size if there is none. The first of the two may be damaged.
        """
        seeming = position = position + 1
        first = True
        failures, ahead = 0, 0
        while position < self.size:
            part = self.bytes_at(position, _CHUNK)
            for found in re.finditer(re.escape(self._mark), part):
                at = position + found.start()
                seeming, first = (at, False) if first else (seeming, False)
                if at >= ahead:
                    if self.begins(at):
                        return seeming, at
                    failures += 1
                    ahead = at + step(failures)
            position += max(1, len(part) - len(self._mark) + 1)
        return self.size if first else seeming, self.size

    def is_archive(self) -> bool:
        """Whether the file begins with a record."""
        return self.begins(self._first)

    def is_arc(self) -> bool:
        """Whether it is in the ARC format, which came before WARC."""
        return self._beginning(self._first).startswith(_ARC)

    def by_records(self) -> bool:
        """Whether each record is compressed alone, so that reading may begin with any of them."""
        from fastwarc.warc import ArchiveIterator

        stream, shift = self.stream()
        try:
            first = islice(ArchiveIterator(stream, parse_http=False), 3)
            return all(self.holds(each.stream_pos + shift, each) for each in first)
        except (OSError, ValueError):
            return True  # damaged: reading tells where

    def holds(self, position: int, record: Any) -> bool:
        """Whether a record of fastwarc begins at `position`, where fastwarc says it does.

        In what is compressed as a whole, fastwarc's offsets are those of other records.
        """
        if self._mark == _START:
            return True
        name = record.record_id or record.headers.get("WARC-Target-URI") or ""
        for size in (_PROBE, 64 * _PROBE):
            head = _HEADERS_END.split(self._beginning(position, size), maxsplit=1)[0]
            if name.encode("utf-8", "replace") in head:
                return True
        return False

    def reader(self, position: int = 0) -> Any:
        """A stream of what is unpacked from a record on. It raises OSError where it is damaged."""
        from fastwarc.stream_io import GzipReader, ZstdReader

        stream, _ = self.stream(position)
        if self._mark == _GZIP:
            return GzipReader(stream)
        if self._mark == _ZSTD:
            stream.seek(len(self._prefix))
            return ZstdReader(stream, _PART, dictionary=self._prefix[8:] or None)
        return stream

    def begins(self, position: int) -> bool:
        """Whether a record begins at `position`."""
        return self._beginning(position).startswith(_START)

    def _beginning(self, position: int, size: int = _PROBE) -> bytes:
        """The first bytes of a record, unpacked; empty if they are damaged."""
        if self._mark == _START:
            return self.bytes_at(position, size)
        if self._mark == _GZIP:
            try:
                head = self.bytes_at(position, size)
                return zlib.decompressobj(wbits=31).decompress(head, 2 * size)
            except zlib.error:
                return b""
        # In small parts: what cannot be read may stand close behind.
        found = b""
        try:
            reader = self.reader(position)
            while len(found) < 2 * size and (part := reader.read(_LINE)):
                found += part
        except OSError:
            pass
        return found

    def _dictionary(self) -> bytes:
        """The frame with the dictionary, which is not compressed itself."""
        from fastwarc.stream_io import ZstdReader

        size = self._first - 8
        content = self.bytes_at(8, min(size, _DICTIONARY_BYTES + 1))
        if content.startswith(_ZSTD):
            content = ZstdReader(io.BytesIO(content)).read(_DICTIONARY_BYTES + 1)
        if not 0 < len(content) <= _DICTIONARY_BYTES:
            raise SourceError(f"{self.name} begins with too large a dictionary: unpack it first")
        return _DICTIONARY + len(content).to_bytes(4, "little") + content


class _Rest(io.RawIOBase):
    """`prefix`, and behind it a file from an offset on."""

    def __init__(self, archive: ArchiveFile, position: int, prefix: bytes) -> None:
        self._archive, self._position, self._prefix = archive, position, prefix
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_END:
            offset += len(self._prefix) + self._archive.size - self._position
        self._at = offset + (self._at if whence == io.SEEK_CUR else 0)
        return self._at

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override] # typeshed wants any buffer
        given = self._prefix[self._at : self._at + len(buffer)]
        if not given:
            at = self._position + self._at - len(self._prefix)
            given = self._archive.bytes_at(at, len(buffer))
        buffer[: len(given)] = given
        self._at += len(given)
        return len(given)


def step(failures: int) -> int:
    """How far the next record is looked for: a hostile file may begin millions of broken ones."""
    return min(1 << max(0, failures - _FAILURES), _CHUNK) - 1
