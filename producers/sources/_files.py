"""Text files as UTF-8 bytes: plain, compressed, or in another encoding."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from kaption.producers.errors import SourceError

PACKED = ("", ".gz", ".bz2", ".xz", ".zst")
"""What may stand behind a text file's ending: the compressions that are read, and none."""

_CHUNK = 256 * 1024
# The longest first: UTF-32 begins as UTF-16 does.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_START = 4096
_CONTINUED = bytes(range(0x80, 0xC0))
_SHOWN_LINES, _SHOWN_CHARS = 200, 80
_SAMPLE = 16 * 1024 * 1024
"""Bytes at the beginning that are looked at to see whether a file is in UTF-8."""
# Encodings that hold all of another one, which programs call by its name.
_LARGER = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
_NEVER = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))
"""Control characters that text does not have. A damaged line may have some of them."""


@contextmanager
def opened_text(path: Path, encoding: str | None = None) -> Iterator[BinaryIO]:
    """The file's text in UTF-8, seekable. Seeking back in one that is converted reads it again.

    The content tells compression, not the name. A byte order mark tells the encoding, else
    `encoding`; without both it is UTF-8. Carriage returns alone become line breaks. Raises
    SourceError if the compressed data is damaged or cut off, if the file begins with what no text
    has, or if it is in another encoding, and OSError.
    """
    codec = None if encoding is None else codec_named(encoding)
    if encoding is not None and codec is None:
        raise SourceError(f"-o encoding={encoding}: Python knows no encoding of that name")
    try:
        with _open(path, codec) as file:
            _refuse_other_formats(path, file)
            if codec is None:
                _refuse_other_encodings(path, file)
            yield file
    except Exception as error:
        if encoding is not None and isinstance(error, UnicodeError):
            raise SourceError(
                f"{path} is not in {encoding}: {error}; correct -o encoding"
            ) from error
        if not _is_damage(error):
            raise
        raise SourceError(f"{path} is damaged or cut off: {error}; fetch it again") from error


def codec_named(encoding: str) -> str | None:
    """Python's codec for an encoding's name, or for what holds all of it; None if it knows none."""
    try:
        found = codecs.lookup(encoding.strip())
    except (LookupError, ValueError):
        return None
    name = found.name
    return _LARGER.get(name, name) if found._is_text_encoding else None


def text_in(content: bytes) -> str:
    """A short text in whatever encoding: as its byte order mark says, UTF-8, or what it seems.

    A file beside an image has no option that names its encoding, and U+FFFD would lose its letters.
    """
    mark = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    if mark is not None:
        return content.decode(mark, "replace")
    try:
        return from_utf8(content).removeprefix("\ufeff")
    except UnicodeDecodeError:
        return content.decode(codec_named(_guessed(content) or "") or "cp1252", "replace")


def from_utf8(content: bytes) -> str:
    """The text. Surrogates that Java and some databases write become one character, or U+FFFD.

    Raises UnicodeDecodeError.
    """
    try:
        return content.decode()
    except UnicodeDecodeError:
        halves = content.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass")
        return halves.decode("utf-16", "replace")


def moved_to(file: BinaryIO, offset: int) -> bool:
    """Seek to an offset; returns False if the file is shorter."""
    if offset == 0:
        file.seek(0)
        return True
    file.seek(offset - 1)
    return len(file.read(1)) == 1


def _refuse_other_formats(path: Path, file: BinaryIO) -> None:
    """Raise SourceError with what to do if the file begins with what no text has. Seeks back."""
    start = file.read(_START)
    if len(start.translate(None, _NEVER)) < 0.9 * len(start):
        raise SourceError(
            f"{path} is not text in UTF-8: if the file has another format, name it with --format;"
            " UTF-16 and UTF-32 without a byte order mark need -o encoding=utf-16-le or the like"
        )
    file.seek(0)


def _refuse_other_encodings(path: Path, file: BinaryIO) -> None:
    """Raise SourceError with what to do if the text is not in UTF-8. Seeks to the start.

    A line in another encoding is hardly ever valid in UTF-8 as well, so fewer wrong lines than
    right ones are damage. A file is not decoded by a guess: a wrong one spoils all texts unseen.
    """
    good = number = 0
    wrong: list[tuple[int, bytes]] = []
    while file.tell() < _SAMPLE and (part := file.read(_CHUNK)):
        part += file.readline(_CHUNK)
        if part.isascii():
            number += part.count(b"\n")
            continue
        for line in part.splitlines(keepends=True):
            number += line.endswith(b"\n")
            if not line.isascii() and _is_utf8(line):
                good += 1
            elif not line.isascii():
                wrong.append((number + (not line.endswith(b"\n")), line))
    file.seek(0)
    if good >= len(wrong):
        return
    at, line = wrong[0]
    guess = _guessed(b"".join(each for _, each in wrong[:_SHOWN_LINES]))
    codec = None if guess is None else codec_named(guess)
    seems = ""
    if codec is not None:
        shown = line.decode(codec, "replace").strip()
        seems = f" It seems to be in {guess}: then the line reads {shown[:_SHOWN_CHARS]!r}."
    raise SourceError(
        f"{path} is not in UTF-8, first in line {at}.{seems} Give its encoding with"
        f" -o encoding={guess if codec else 'NAME'}, or -o encoding=utf-8 to pass over such lines"
    )


def _is_utf8(line: bytes) -> bool:
    """Whether a line, or a part of a long one that begins or ends within a character, is."""
    try:
        decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
        decoder.decode(line.lstrip(_CONTINUED))
    except UnicodeDecodeError:
        return False
    return True


def _guessed(text: bytes) -> str | None:
    """The encoding that a text seems to have, if the detector (extra `sources`) is installed."""
    try:
        from turbohtml.detect import detect
    except ImportError:
        return None
    return detect(text).encoding


def _unpacked(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        start = file.read(10)
    if start.startswith(b"\x1f\x8b"):
        return cast("BinaryIO", gzip.open(path))
    if start.startswith(b"BZh") and start.endswith(b"1AY&SY"):
        return cast("BinaryIO", bz2.open(path))
    if start.startswith(b"\xfd7zXZ\0"):
        return cast("BinaryIO", lzma.open(path))
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        return _from_zstd(path)
    return path.open("rb")


def _from_zstd(path: Path) -> BinaryIO:
    # Not zstandard, which kafka-python brings: it takes a file that is cut off for a whole one.
    try:
        from backports import zstd
    except ImportError as error:
        raise SourceError(
            f"{path} is compressed with zstd: install kaption[sources], or unpack the file"
        ) from error
    return cast("BinaryIO", zstd.open(path))


def _is_damage(error: Exception) -> bool:
    """Whether a file could not be unpacked."""
    if isinstance(error, OSError):  # bz2 and gzip raise one of their own, which has no number
        return error.errno is None
    # zstd's is known by its name: a light install does not load the library, and may not have it.
    known = isinstance(error, (EOFError, zlib.error, lzma.LZMAError))
    return known or type(error).__name__ == "ZstdError"


def _open(path: Path, codec: str | None) -> BinaryIO:
    raw = partial(_unpacked, path)
    file = raw()
    start = file.read(_CHUNK)
    encoding = next((name for mark, name in _MARKS if start.startswith(mark)), codec or "utf-8")
    returns = encoding == "utf-8" and b"\r" in start and b"\n" not in start
    if encoding == "utf-8" and not returns:
        file.seek(0)
        return file
    file.close()
    return cast("BinaryIO", io.BufferedReader(_Converted(raw, encoding, returns), _CHUNK))


class _Converted(io.RawIOBase):
    """A file in another encoding, as UTF-8. What is no character becomes U+FFFD.

    With `returns` it is in UTF-8, and each carriage return becomes a line break.
    """

    def __init__(self, raw: Callable[[], BinaryIO], encoding: str, returns: bool) -> None:
        self._raw = raw
        self._encoding = encoding
        self._returns = returns
        self._begin()

    def _begin(self) -> None:
        self._file = self._raw()
        self._errors = "surrogateescape" if self._returns else "replace"
        self._decoder = codecs.getincrementaldecoder(self._encoding)(errors=self._errors)
        self._left = b""
        self._at = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

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
            text = self._decoder.decode(part, final=self._ended)
            text = text.replace("\r", "\n") if self._returns else text
            self._left = text.encode(errors=self._errors)
        given = self._left[: len(buffer)]
        self._left = self._left[len(given) :]
        buffer[: len(given)] = given
        self._at += len(given)
        return len(given)

    def close(self) -> None:
        self._file.close()
        super().close()
