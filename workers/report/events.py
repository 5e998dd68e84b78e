"""What one message tells about its pair, in words and as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kaption.consumers import Tombstone
from kaption.schemas import (
    CaptionedPair,
    CleanPair,
    DeadLetter,
    IngestedPair,
    RawPair,
    RejectedPair,
    ScoredPair,
    Versioned,
)
from kaption.schemas.topics import AUDIT, AUDITED
from kaption.workers.report.traces import PairMessage

_CHARS = 300
"""The most characters of a text that people are shown. `PairEvent.data` has the whole text."""


@dataclass(frozen=True, slots=True)
class PairEvent:
    """One thing that happened to a pair."""

    at: datetime | None
    """The time of the event; None: nobody noted it."""
    place: str
    """topic/partition/offset, or the key of an object."""
    what: str
    """A few words."""
    details: tuple[str, ...] = ()
    """Lines for people. They hold texts from the web."""
    data: dict[str, Any] = field(default_factory=dict)
    """All of it, as plain data."""


def event_of(read: PairMessage) -> PairEvent:
    """What a message of a topic says."""
    topic = read.position.topic
    at = datetime.fromtimestamp(read.timestamp_ms / 1000, UTC) if read.timestamp_ms > 0 else None
    place, record = str(read.position), read.record
    match record:
        case RejectedPair():
            what = f"rejected by {record.stage}: {record.reason.value}"
            return PairEvent(at, place, what, (record.detail,), _plain(record))
        case DeadLetter():
            what = f"died in {record.stage} after {record.attempts} tries"
            return PairEvent(at, place, what, (record.error,), _plain(record))
        case CleanPair() if topic.endswith(AUDITED.name):
            audit = record.audit
            what = f"{audit.state.value} by {audit.by} in the audit"
            details = tuple(filter(None, (_caption(record), audit.note)))
            return PairEvent(at, place, what, details, _plain(record))
        case CleanPair() if topic.endswith(AUDIT.name):
            return PairEvent(at, place, "sampled for the audit", (), _plain(record))
        case CleanPair():
            what = f"clean, version {record.version}"
            return PairEvent(at, place, what, tuple(_of_clean(record)), _plain(record))
        case CaptionedPair():
            details = tuple(f"{it.model or it.kind.value}: {it.text}" for it in record.candidates)
            what = f"{len(record.candidates)} candidates"
            return PairEvent(at, place, what, details, _plain(record))
        case ScoredPair():
            score = record.original.score if record.original else None
            what = f"scored {_number(score)}: {record.route.value.replace('_', ' ')}"
            return PairEvent(at, place, what, (), _plain(record))
        case IngestedPair():
            return PairEvent(at, place, "ingested", tuple(_of_ingested(record)), _plain(record))
        case RawPair():
            return PairEvent(at, place, "published", tuple(_of_raw(record)), _plain(record))
        case Tombstone():
            return PairEvent(at, place, "withdrawn by a tombstone")
    return PairEvent(at, place, "unreadable", (str(record),))


def shown(text: str) -> str:
    """The text on one line, cut, without characters that would steer a terminal."""
    cut = text if len(text) <= _CHARS else f"{text[:_CHARS]}… ({len(text)} characters)"
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in cut
    )


def _of_raw(pair: RawPair) -> Iterator[str]:
    if pair.source:
        yield f"source {pair.source}"
    if pair.page_url:
        yield f"page {pair.page_url}"
    image = pair.image
    kept = f"in the store, sha256 {image.blob.sha256}" if image.blob else None
    inline = f"{len(image.inline)} bytes in the message" if image.inline is not None else None
    yield f"image {image.url or kept or inline}"
    yield f"alt text: {pair.text}"


def _of_ingested(pair: IngestedPair) -> Iterator[str]:
    image = pair.image
    yield f"image {image.width}x{image.height}, sha256 {image.blob.sha256}"
    language = pair.detected_language or "unknown"
    yield f"cleaned text ({language}): {pair.clean_text}"
    if pair.text_notes:
        yield f"cleaning noted {', '.join(pair.text_notes)}"
    if pair.brought_by is not None:
        yield f"once more, for the text of {pair.brought_by.pair_id}"


def _of_clean(pair: CleanPair) -> Iterator[str]:
    yield _caption(pair)
    yield f"alt text, score {_number(pair.original_score)}: {pair.clean_text}"
    for trace in pair.provenance.stages:
        models = ", ".join(f"{name} {revision}" for name, revision in trace.models.items())
        asked = ", ".join(f"{it.captioner} {it.result.value}" for it in trace.captioners)
        facts = "; ".join(filter(None, (models, asked)))
        yield f"{trace.stage} took {trace.seconds:.2f} s with {trace.software}. {facts}".rstrip()
    if pair.audit.by:
        yield f"{pair.audit.state.value} by {pair.audit.by}"


def _caption(pair: CleanPair) -> str:
    best = pair.captions[0]
    failed = [check.name for check in best.checks if not check.passed]
    checks = f", failed {', '.join(failed)}" if failed else ""
    model = f" {best.model}" if best.model else ""
    return f"{best.kind.value}{model}, score {_number(best.score)}{checks}: {best.text}"


def _plain(record: Versioned) -> dict[str, Any]:
    data = record.model_dump(mode="json", exclude_defaults=True)
    image = data.get("image")
    if isinstance(image, dict) and "inline" in image:
        image["inline"] = f"{len(image['inline']) * 3 // 4} bytes"
    return {"record": record.schema_name(), **data}


def _number(score: float | None) -> str:
    return "unknown" if score is None else f"{score:.3f}"
