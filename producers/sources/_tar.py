"""Members of a tar stream, each with its offset; damage raises an error."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

_BLOCK = 512
_EXTENSION_BYTES = 1024 * 1024
_CHUNK = 1024 * 1024
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
# Links, devices, folders and pipes.
_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")


class DamagedTarError(Exception):
    """The stream is no tar, or it ends too early."""


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file in a tar."""

    name: str
    offset: int
    """Where its headers begin in the stream, in bytes."""
    end: int
    """Where the next member begins."""
    size: int
    """In bytes."""
    data: bytes
    """Its first bytes, up to the limit that the caller gave."""


def members(stream: IO[bytes], offset: int, limit: Callable[[str], int]) -> Iterator[Member]:
    """The regular files of a tar stream, which stands at `offset`, the begin of a member.

    `limit` takes a member's name and returns how many of its bytes to keep. Raises DamagedTarError,
    and what `stream.read` raises.

    Python's tarfile is not used: it takes a damaged header for the end of the archive, and reads
    members that are no regular files into memory.
    """
    begin = offset
    extended: dict[str, str] = {}
    while header := _exactly(stream, _BLOCK, at=offset):
        if not header.strip(b"\0"):
            return
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise DamagedTarError(f"no tar header at byte {offset}: {error}") from error
        size = _size(info, extended, offset)
        padded = -(-size // _BLOCK) * _BLOCK
        extension = info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, *_PAX)
        if extension and size > _EXTENSION_BYTES:
            raise DamagedTarError(f"a header of {size} bytes at byte {offset}")
        name = extended.get("path", info.name)
        keep = size if extension else min(size, limit(name)) if info.isreg() else 0
        data = _exactly(stream, keep, at=offset) if keep else b""
        if len(data) < keep:
            raise DamagedTarError(f"it ends inside the member at byte {offset}")
        _skip(stream, padded - keep, at=offset)
        offset += _BLOCK + padded
        if info.type == tarfile.GNUTYPE_LONGNAME:
            extended["path"] = data.rstrip(b"\0").decode("utf-8", "surrogateescape")
        elif info.type in _PAX:
            extended.update(_pax(data, begin))
        if extension:
            continue
        if info.isreg():
            yield Member(name, begin, offset, size, data)
        begin, extended = offset, {}
    # A complete tar ends with zeros: one that was cut off between two members does not.
    raise DamagedTarError(f"it ends at byte {offset} without the mark of an end")


def _size(info: tarfile.TarInfo, extended: dict[str, str], offset: int) -> int:
    given = extended.get("size", "") if info.isreg() else ""
    size = int(given) if given.isdecimal() else info.size
    if size < 0:
        raise DamagedTarError(f"a member of {size} bytes at byte {offset}")
    # The headers of links and folders may have a size, but no data follows them.
    return size if info.isreg() or info.type not in _WITHOUT_DATA else 0


def _pax(data: bytes, offset: int) -> dict[str, str]:
    """Records of a pax header: length, a space, key=value, a line break."""
    found = {}
    while data:
        length, _, _ = data.partition(b" ")
        if not length.isdigit() or not len(length) < int(length) <= len(data):
            raise DamagedTarError(f"a broken pax header at byte {offset}")
        record = data[len(length) + 1 : int(length) - 1]
        key, _, value = record.partition(b"=")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        data = data[int(length) :]
    return found


def _exactly(stream: IO[bytes], size: int, at: int) -> bytes:
    """Exactly `size` bytes, or none at the stream's end."""
    parts: list[bytes] = []
    left = size
    while left and (part := stream.read(min(left, _CHUNK))):
        parts.append(part)
        left -= len(part)
    if left and parts:
        raise DamagedTarError(f"it ends inside the member at byte {at}")
    return b"".join(parts)


def _skip(stream: IO[bytes], size: int, at: int) -> None:
    while size:
        part = stream.read(min(size, _CHUNK))
        if not part:
            raise DamagedTarError(f"it ends inside the member at byte {at}")
        size -= len(part)
