"""The archives in a WACZ: a zip file, also one that was cut off."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from kaption.producers.errors import SourceError

ZIP = b"PK\x03\x04"
WITHIN = "!"
"""Stands between the name of a WACZ and that of its member."""
_MEMBER = re.compile(r"[^/]*\.warc(\.gz|\.zst)?", re.IGNORECASE)
# Flags, method, packed size, lengths of name and extra field (APPNOTE.TXT, 4.3.7).
_HEADER = struct.Struct("<4x2xHH4x4xL4xHH")
_SIGNATURE = re.compile(rb"PK(?:\x01\x02|\x03\x04|\x07\x08)")
_ENCRYPTED, _SIZES_FOLLOW = 1, 8
_CHUNK = 1024 * 1024


class ZipMember(NamedTuple):
    """One archive in a zip file."""

    name: str
    source: Any
    """The zip file, or a stream of what is unpacked."""
    start: int | None
    """Where it begins in the zip file; None if it is packed."""
    size: int
    """Its bytes in the zip file."""
    ended: str = ""
    """Why it ends there, if damage ended it."""


def is_member(name: str) -> bool:
    """Whether the name of a member is that of an archive."""
    return _MEMBER.fullmatch(name.rpartition("/")[2]) is not None


def members_of(path: Path, file: BinaryIO, stack: ExitStack) -> Iterator[ZipMember]:
    """The archives, in the order of their names. Raises SourceError and OSError."""
    try:
        found = list(_listed(path, file, stack))
    except RuntimeError as error:  # encrypted, or packed in a way that is not known
        raise SourceError(f"{path}: {error}") from error
    except (zipfile.BadZipFile, struct.error) as error:
        found = sorted(_unlisted(path, file), key=itemgetter(0))
        if not found:
            raise SourceError(f"{path} is damaged or no WACZ: {error}; fetch it again") from error
        found[-1] = found[-1]._replace(ended="the WACZ is cut off or damaged: fetch it again")
    if not found:
        raise SourceError(f"{path} is a zip file without WARC files: unpack it")
    yield from found


def _listed(path: Path, file: BinaryIO, stack: ExitStack) -> Iterator[ZipMember]:
    zipped = stack.enter_context(zipfile.ZipFile(file))
    members = [each for each in zipped.infolist() if is_member(each.filename)]
    for each in sorted(members, key=attrgetter("filename")):
        name = f"{path.name}{WITHIN}{each.filename}"
        if each.compress_type == zipfile.ZIP_STORED and not each.flag_bits & _ENCRYPTED:
            # Read in place: a zip file's own streams cannot seek without reading again.
            file.seek(each.header_offset)
            *_, name_bytes, extra_bytes = _HEADER.unpack(file.read(_HEADER.size))
            start = each.header_offset + _HEADER.size + name_bytes + extra_bytes
            yield ZipMember(name, file, start, each.file_size)
        else:
            yield ZipMember(name, stack.enter_context(zipped.open(each)), None, each.compress_size)


def _unlisted(path: Path, file: BinaryIO) -> Iterator[ZipMember]:
    """The archives of a zip file whose list is lost with its end, by the headers before each."""
    whole = file.seek(0, io.SEEK_END)
    at = 0
    while (at := _next(file, at)) < whole:
        file.seek(at)
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size:
            return
        if not head.startswith(ZIP):
            at += len(ZIP)
            continue
        flags, method, size, name_bytes, extra_bytes = _HEADER.unpack(head)
        name = file.read(name_bytes).decode(errors="replace")
        start = at + _HEADER.size + name_bytes + extra_bytes
        at += len(ZIP)
        if not is_member(name) or flags & _ENCRYPTED:
            continue
        known = not flags & _SIZES_FOLLOW and size != 0xFFFFFFFF
        end = at = min(start + size, whole) if known else _next(file, start)
        member = ZipMember(f"{path.name}{WITHIN}{name}", file, start, end - start)
        if method == zipfile.ZIP_STORED:
            yield member
        elif method == zipfile.ZIP_DEFLATED:
            yield member._replace(source=_Inflated(file, start, end), start=None)


def _next(file: BinaryIO, at: int) -> int:
    """Where the next header, or what follows a member, begins; the file's size if none does."""
    while True:
        file.seek(at)
        part = file.read(_CHUNK)
        if found := _SIGNATURE.search(part):
            return at + found.start()
        if len(part) < len(ZIP):
            return at + len(part)
        at += len(part) - len(ZIP) + 1


class _Inflated:
    """A stream of what a part of a file unpacks to."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file, self._at, self._end = file, start, end
        self._inflate = zlib.decompressobj(-15)

    def read(self, size: int) -> bytes:
        """Raises zlib.error where it is damaged."""
        while not self._inflate.eof:
            packed = self._inflate.unconsumed_tail
            if not packed:
                self._file.seek(self._at)
                packed = self._file.read(min(size, self._end - self._at))
                self._at += len(packed)
            found = self._inflate.decompress(packed, size)
            if found or not packed:
                return found
        return b""
