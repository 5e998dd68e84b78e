"""The records of a web archive, with their places; damage is told and passed over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kaption.producers.archives.bodies import decoded
from kaption.producers.archives.file import ArchiveFile, step
from kaption.schemas.limits import RAW_BYTES

_HEAD_BYTES = 1024
_KINDS = ("response", "resource", "revisit", "conversion", "metadata")
_GOOD = (200, 203)
_PARTIAL = 206
_WHOLE_RANGE = re.compile(r"bytes 0-([0-9]{1,18})/([0-9]{1,18})", re.IGNORECASE)
_STATUS_FIELD = re.compile(r":status:\s*([0-9]{3})\b", re.IGNORECASE)
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class ArchiveRecord:
    """One record, without its body."""

    kind: str
    """response, resource, revisit, conversion, metadata, or wat: metadata in JSON."""
    url: str
    """The address of the page, image or file, as the record writes it."""
    position: int
    """The offset of the record in its archive, in bytes."""
    status: int
    """The status of the HTTP response. It is 200 for a record without a response, and for a
    response that is a range of all bytes."""
    content_type: str
    headers: tuple[tuple[str, str], ...]
    """The headers of the HTTP response."""
    fetched_at: datetime | None
    names: tuple[str, ...]
    """Its id and its payload's digest."""
    refers_to: tuple[str, ...]
    """The address, digest and id of the record with the body, if this one is a revisit."""
    cut: bool
    """Whether the crawler did not get the whole body."""
    head: bytes
    """The first bytes of the body, decoded."""

    @property
    def media_type(self) -> str:
        """In lower case, without parameters; "" if none is given."""
        return self.content_type.partition(";")[0].strip().lower()

    @property
    def found(self) -> bool:
        """Whether the server had what was asked for."""
        return self.kind in ("response", "resource") and self.status in _GOOD

    @property
    def location(self) -> str | None:
        """Where a redirect leads."""
        return _last(self.headers, "location") if self.status in _REDIRECTS else None


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of an archive that cannot be read."""

    start: int
    end: int
    """Where reading went on: at a record, or at the file's end."""
    error: str


class OddArchiveError(Exception):
    """Records can be read only after the archive was unpacked: see `container.opened`."""

    def __init__(self, archive: ArchiveFile) -> None:
        super().__init__(archive.name)
        self.name = archive.name


def records(archive: ArchiveFile, position: int = 0) -> Iterator[ArchiveRecord | Damage]:
    """The records from `position` on, where one begins.

    Raises OddArchiveError, and OSError if the disk fails.
    """
    begin, last = position, position
    damage: tuple[int, str] | None = None
    failures = 0
    while begin < archive.size:
        whole = True
        try:
            for raw, at in _raw_records(archive, begin):
                last, whole = at, False
                record = _whole_record(raw, at)
                whole, failures = True, 0
                if damage:
                    yield Damage(damage[0], at, damage[1])
                    damage = None
                if record is not None:
                    yield record
            why = ""
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None):
                raise
            why = str(error)
        if not why and archive.plain:
            break
        # fastwarc may take damage for the end of what is compressed.
        failures += 1
        seeming, begin = archive.next_starts(last + step(failures))
        if why or begin < archive.size:
            # Behind a whole record the damage begins where the next seems to begin, or before.
            start = seeming if whole and seeming < begin else last
            damage = damage or (start, why or "no record begins here")
        last = begin
    if damage is None and archive.ended:
        damage = archive.size, archive.ended
    if damage:
        yield Damage(damage[0], archive.size, damage[1])


def record_at(archive: ArchiveFile, position: int) -> tuple[ArchiveRecord, bytes]:
    """The record at a position, and the first `RAW_BYTES` bytes of its body, decoded.

    Raises ValueError if it is damaged, and OSError if the disk fails.
    """
    try:
        for raw, at in _raw_records(archive, position):
            length = raw.content_length
            content = raw.reader.read(RAW_BYTES)
            record = _record(raw, at, length, content[:_HEAD_BYTES])
            if record is not None and at == position:
                return record, decoded(content, record.headers, RAW_BYTES, cut=record.cut)
            break
    except OSError as error:
        if error.errno:
            raise
        raise ValueError(str(error)) from error
    raise ValueError("the record is not there any more")


def _raw_records(archive: ArchiveFile, position: int) -> Iterator[tuple[Any, int]]:
    from fastwarc.warc import ArchiveIterator

    stream, shift = archive.stream(position)
    for raw in ArchiveIterator(stream, parse_http=False, quirks_mode=archive.lenient):
        at = raw.stream_pos + shift
        if not archive.holds(at, raw):
            if archive.begins(at):  # several records are compressed as one
                raise OddArchiveError(archive)
            raise ValueError("the record is damaged")
        length = raw.headers.get("Content-Length")
        if not archive.renamed and not raw.content_length and length and length.strip(" 0"):
            raise OddArchiveError(archive)
        media_type = (raw.headers.get("Content-Type") or "application/http").lower()
        if media_type.startswith("application/http"):
            raw.is_http = True
            raw.parse_http(quirks_mode=True)  # servers end lines as Unix does, too
        yield raw, at


def _whole_record(raw: Any, position: int) -> ArchiveRecord | None:
    """The record, which is read to its end. Raises ValueError and OSError if it is damaged."""
    length = raw.content_length
    head = raw.reader.read(_HEAD_BYTES)
    if raw.headers.get("Content-Length") is None or len(head) + raw.consume() < length:
        raise ValueError("the record is cut off")
    return _record(raw, position, length, head)


def _record(raw: Any, position: int, length: int, head: bytes) -> ArchiveRecord | None:
    http, warc = raw.http_headers, raw.headers
    # WARC 1.0 puts the URL in angle brackets, and some writers still do.
    url = (warc.get("WARC-Target-URI") or "").strip("<> ")
    kind = (warc.get("WARC-Type") or "").lower()
    if not url or kind not in _KINDS:
        return None
    # A head without header lines is there, and false.
    headers = () if http is None else tuple(http.to_tuples())
    cut = "WARC-Truncated" in warc or length < _declared_length(headers)
    status = _GOOD[0] if http is None else _status(http)
    whole = _WHOLE_RANGE.fullmatch(_last(headers, "content-range") or "")
    if status == _PARTIAL and whole and int(whole[1]) + 1 == int(whole[2]):
        status = _GOOD[0]
    content_type = warc.get("Content-Type") if http is None else _last(headers, "content-type")
    if kind == "metadata" and "json" in (content_type or ""):
        kind = "wat"
    return ArchiveRecord(
        kind=kind,
        url=url,
        position=position,
        status=status,
        content_type=content_type or "",
        headers=headers,
        fetched_at=raw.record_date,
        names=_values(warc, "WARC-Record-ID", "WARC-Payload-Digest"),
        refers_to=_values(
            warc, "WARC-Refers-To-Target-URI", "WARC-Payload-Digest", "WARC-Refers-To"
        ),
        cut=cut,
        head=_head(head, headers),
    )


def _status(http: Any) -> int:
    """The status; 0 if none is given. Writers of HTTP/2 put a line ``:status: 200`` first."""
    line = _STATUS_FIELD.match(http.status_line or "")
    return int(line[1]) if line else http.status_code or 0


def _head(raw: bytes, headers: tuple[tuple[str, str], ...]) -> bytes:
    try:
        return decoded(raw, headers, _HEAD_BYTES, cut=True)
    except ValueError:
        return raw


def _declared_length(headers: tuple[tuple[str, str], ...]) -> int:
    """Bytes that the server announced. Archives may hold fewer without calling it truncated.

    Of an encoded body it is not known, because archives keep the header and decode the body.
    """
    if _last(headers, "content-encoding") or _last(headers, "transfer-encoding"):
        return 0
    length = _last(headers, "content-length") or ""
    return int(length) if length.isdecimal() and len(length) < 20 else 0


def _last(headers: tuple[tuple[str, str], ...], name: str) -> str | None:
    return next((value for each, value in reversed(headers) if each.lower() == name), None)


def _values(warc: Any, *names: str) -> tuple[str, ...]:
    return tuple(value.strip("<> ") for name in names if (value := warc.get(name)))
