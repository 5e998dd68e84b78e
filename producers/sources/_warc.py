"""Records of a WARC file, found by their offset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urldefrag

from kaption.producers.sources.source import RAW_BYTES, SourceError

_OK = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's successful answer, as the archive recorded it."""

    url: str
    position: int
    """Where its record begins in the file, in bytes."""
    media_type: str
    charset: str | None
    headers: tuple[tuple[str, str], ...]
    fetched_at: datetime | None


def answers(path: Path, position: int = 0) -> Iterator[Answer]:
    """The responses with status 200 and the resources of a file, from `position` on.

    Raises SourceError if the file is damaged or is a WET or WAT archive, OSError if it cannot be
    read.
    """
    from fastwarc.warc import WarcRecordType

    with path.open("rb") as file:
        file.seek(position)
        records = _records(file, decode="none")
        found = False
        while True:
            try:
                record = next(records, None)
            except (OSError, ValueError) as error:
                raise SourceError(f"{path} is damaged or no WARC file: {error}") from error
            if record is None:
                break
            found = True
            answer = _answer(record)
            if answer is not None:
                yield answer
        # An empty file is no error: crawlers create files before they have an answer for them.
        file.seek(position)
        derived = _records(file, "none", WarcRecordType.conversion | WarcRecordType.metadata)
        if not found and next(derived, None) is not None:
            raise SourceError(
                f"{path} holds no response and no resource: a WET or WAT archive holds "
                "no images: give the WARC that it was made from"
            )


def body(path: Path, position: int, *, decoded: bool = True) -> bytes:
    """The first `RAW_BYTES` bytes of a record's body, without its HTTP headers.

    Raises ValueError if its transfer or content encoding is broken, and OSError.
    """
    with path.open("rb") as file:
        file.seek(position)
        # Decoded only here: when fastwarc iterates, one broken body ends the iteration.
        record = next(_records(file, decode="all" if decoded else "none"))
        try:
            return bytes(record.reader.read(RAW_BYTES))
        except OSError as error:
            raise ValueError(f"its encoding is broken: {error}") from error


def _records(file: Any, decode: Literal["all", "none"], kinds: Any = None) -> Iterator[Any]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    kinds = kinds or WarcRecordType.response | WarcRecordType.resource
    yield from ArchiveIterator(file, record_types=kinds, parse_http=True, auto_decode=decode)


def _answer(record: Any) -> Answer | None:
    url = record.headers.get("WARC-Target-URI")
    http = record.http_headers
    if not url or (http is not None and http.status_code != _OK):
        return None
    media_type = record.http_content_type if http else record.headers.get("Content-Type")
    return Answer(
        # WARC 1.0 puts the URL in angle brackets, and some writers still do.
        url=urldefrag(url.strip("<>"))[0],
        position=record.stream_pos,
        media_type=(media_type or "").partition(";")[0].strip().lower(),
        charset=record.http_charset if http else None,
        headers=tuple(http.astuples()) if http else (),
        fetched_at=record.record_date,
    )
