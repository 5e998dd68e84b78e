"""Text files as UTF-8 bytes: plain, compressed with gzip, or in UTF-16 or UTF-32."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from kaption.producers.sources.source import SourceError

_CHUNK = 256 * 1024
_GZIP = b"\x1f\x8b"
# The longest first: UTF-32 begins as UTF-16 does.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@contextmanager
def opened_text(path: Path) -> Iterator[BinaryIO]:
    """The file's text in UTF-8, seekable. Seeking back in one that is converted reads it again.

    The content tells compression and encoding, not the name. Raises SourceError if the compressed
    data is damaged or cut off, and OSError.
    """
    try:
        with _open(path) as file:
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{path} is damaged or cut off: {error}; fetch it again") from error


def moved_to(file: BinaryIO, offset: int) -> bool:
    """Seek to an offset; returns False if the file is shorter."""
    if offset == 0:
        file.seek(0)
        return True
    file.seek(offset - 1)
    return len(file.read(1)) == 1


def _open(path: Path) -> BinaryIO:
    def raw() -> BinaryIO:
        file = path.open("rb")
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        return cast("BinaryIO", io.BufferedReader(_Unpacked(file), _CHUNK)) if packed else file

    file = raw()
    start = file.read(4)
    encoding = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    if encoding is None:
        file.seek(0)
        return file
    file.close()
    return cast("BinaryIO", io.BufferedReader(_Converted(raw, encoding), _CHUNK))


class _Unpacked(gzip.GzipFile):
    """A gzip file that closes the file below."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(fileobj=file, mode="rb")
        self._below = file

    def close(self) -> None:
        super().close()
        self._below.close()


class _Converted(io.RawIOBase):
    """A file in another encoding, as UTF-8. What is no character becomes U+FFFD."""

    def __init__(self, raw: Callable[[], BinaryIO], encoding: str) -> None:
        self._raw = raw
        self._encoding = encoding
        self._begin()

    def _begin(self) -> None:
        self._file = self._raw()
        self._decoder = codecs.getincrementaldecoder(self._encoding)(errors="replace")
        self._left = b""
        self._at = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_CUR:
            offset += self._at
        elif whence != io.SEEK_SET:
            raise io.UnsupportedOperation("a converted file is sought from its start")
        if offset < self._at:
            self._file.close()
            self._begin()
        while self._at < offset and (part := self.read(min(_CHUNK, offset - self._at))):
            del part
        return self._at

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override] # typeshed wants any buffer
        while not self._left and not self._ended:
            part = self._file.read(_CHUNK)
            self._ended = not part
            self._left = self._decoder.decode(part, final=self._ended).encode(errors="replace")
        given = self._left[: len(buffer)]
        self._left = self._left[len(given) :]
        buffer[: len(given)] = given
        self._at += len(given)
        return len(given)

    def close(self) -> None:
        self._file.close()
        super().close()
