"""Opens what holds archives: a WARC file, one that is compressed as a whole, an ARC or a WACZ."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast

from kaption.producers.archives.file import ArchiveFile
from kaption.producers.archives.zipped import ZIP, is_member, members_of
from kaption.producers.errors import SourceError

# Archives are packed to a tenth. What grows more than this is a bomb.
_MOST_GROWTH = 100
_PART = 4 * 1024


@contextmanager
def opened(path: Path, odd: Collection[str] = ()) -> Iterator[list[ArchiveFile]]:
    """The archives in a file: the file itself, or the members of a WACZ, in the order of names.

    What is compressed as a whole is unpacked to a temporary file, and so are ARC files and those
    whose names are in `odd`. Raises SourceError and OSError.
    """
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        found = [ArchiveFile(path.name, file)]
        if found[0].is_arc():
            copies = (stack.enter_context(TemporaryFile()) for _ in range(2))
            yield [_converted(found[0], *copies)]
            return
        if found[0].bytes_at(0, len(ZIP)) == ZIP:
            found = [
                ArchiveFile(name, source, start, size, ended)
                if start is not None
                else _unpack(source, stack.enter_context(TemporaryFile()), size, name, ended)
                for name, source, start, size, ended in members_of(path, file, stack)
            ]
        archives = []
        for each in found:
            archive = each
            if not (each.plain or (each.name not in odd and each.by_records())):
                copy = stack.enter_context(TemporaryFile())
                archive = _unpack(each.reader(), copy, each.size, each.name, each.ended)
            archive.renamed = each.name in odd
            archives.append(archive)
        yield archives


def is_archive(path: Path) -> bool:
    """Whether a file's first bytes are those of an archive, or of a zip file with archives."""
    try:
        with path.open("rb") as file:
            if file.read(len(ZIP)) == ZIP:
                with zipfile.ZipFile(file) as members:
                    return any(map(is_member, members.namelist()))
            archive = ArchiveFile(path.name, file)
            return archive.is_archive() or archive.is_arc()
    except (ImportError, OSError, SourceError, zipfile.BadZipFile):
        return False


def _converted(archive: ArchiveFile, copy: BinaryIO, file: BinaryIO) -> ArchiveFile:
    """An ARC file as a WARC file, in `file`. What comes before damage is read.

    What is packed is unpacked to `copy` first. Raises SourceError and OSError.
    """
    from warcio.archiveiterator import ArchiveIterator
    from warcio.exceptions import ArchiveLoadFailed
    from warcio.warcwriter import WARCWriter

    plain = archive
    if not archive.plain:
        plain = _unpack(archive.reader(), copy, archive.size, archive.name, "")
    ended = plain.ended
    writer = WARCWriter(file, gzip=False)
    source, _ = plain.stream()
    try:
        lines = io.BufferedReader(cast("io.RawIOBase", source))
        for record in ArchiveIterator(lines, arc2warc=True, no_record_parse=True):
            if record.rec_type in ("arc_header", "warcinfo"):
                continue
            content = record.raw_stream.read()
            if len(content) < int(record.rec_headers.get_header("Content-Length") or 0):
                ended = ended or "the record is cut off"
                break
            record.raw_stream = io.BytesIO(content)
            writer.write_record(record)
    except (ArchiveLoadFailed, ValueError) as error:
        ended = ended or str(error)
    return ArchiveFile(archive.name, file, ended=ended)


def _unpack(reader: Any, file: BinaryIO, packed: int, name: str, ended: str) -> ArchiveFile:
    """What `reader` unpacks, in `file`. Raises SourceError if it grows too much, and OSError."""
    left = packed * _MOST_GROWTH
    try:
        # In small parts: the part before damage is lost.
        while part := reader.read(_PART):
            left -= len(part)
            if left < 0:
                raise SourceError(
                    f"{name} grows more than {_MOST_GROWTH} times when unpacked: it may be a bomb"
                )
            file.write(part)
    except (ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        # What came before the damage is read.
        if getattr(error, "errno", None):
            raise
        ended = str(error)
    return ArchiveFile(name, file, ended=ended)
