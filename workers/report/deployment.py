"""The report of a deployment: from its topics, its store and Redis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from kaption.connections.errors import Retry
from kaption.connections.settings import KafkaConnection
from kaption.consumers import Read, ReadError, TopicReader
from kaption.objectstore import open_store
from kaption.objectstore.dataset.takedowns import Takedowns
from kaption.schemas import (
    CleanPair,
    DeadLetter,
    Position,
    RejectedPair,
    Topic,
    WireError,
    origin_of,
)
from kaption.schemas.topics import AUDIT, CLEAN, DEAD, REJECTED
from kaption.workers.audit.report import decisions
from kaption.workers.report.census import Census
from kaption.workers.report.folder import standing, stored, with_copies
from kaption.workers.report.gallery import Gallery
from kaption.workers.report.page import ReportContent, ReportPage, render
from kaption.workers.settings import Settings


def deployment_report(settings: Settings, pairs: int, most: int) -> ReportPage:
    """The page: numbers of about the newest `most` messages of each topic, and `pairs` pairs.

    Raises ReadError, Retry, Fatal, ModuleNotFoundError.
    """
    objects = open_store(settings.store)
    takedowns = Takedowns(objects, settings.sink.prefix)
    census, gallery, notes = Census(), Gallery(pairs), list[str]()
    for read in _newest(settings.kafka, most, notes):
        record = read.record
        assert isinstance(record, CleanPair | RejectedPair | DeadLetter)
        if isinstance(record, CleanPair) and takedowns.covers(record):
            continue
        census.count(record)
        with suppress(WireError):
            gallery.add(record, origin_of(read.headers, read.position))
    cards = standing(gallery.cards(), takedowns)
    try:
        cards = with_copies(cards, settings)
    except Retry as error:
        notes.append(f"Some images of copies are not shown: {error}.")
    now = datetime.now(UTC)
    content = ReportContent(
        title=f"{census.clean:,} of {census.total:,} pairs were kept",
        at=f"Deployment {settings.kafka.topic_prefix or 'without a prefix'}, "
        f"{now:%d %B %Y at %H:%M} UTC",
        numbers=census.numbers(),
        cards=cards,
        notes=notes,
        audit=_audit(settings.kafka, most, notes),
    )
    return render(content, stored(objects), settings.store.url)


def _newest(kafka: KafkaConnection, most: int, notes: list[str]) -> Iterator[Read]:
    """The newest outcomes. Of pairs.clean, the last message of each pair that is not withdrawn."""
    waiting: Counter[bytes | None] = Counter()
    left_out = 0
    for topic in (CLEAN, REJECTED, DEAD):
        with TopicReader(kafka, [topic]) as reader:
            ends = _bounded(reader, topic, most, notes)
            if topic is CLEAN:
                # First only keys, so that memory holds no records.
                for _ in reader.reads(ends, lambda it: bool(waiting.update([it.key]))):
                    pass

            def last(message: Any, topic: Topic = topic) -> bool:
                waiting[message.key] -= topic is CLEAN
                return message.value is not None and waiting[message.key] <= 0

            for read in reader.reads(ends, last):
                if read is None:
                    continue
                if isinstance(read.record, WireError):
                    left_out += 1
                else:
                    yield read
        waiting.clear()
    if left_out:
        notes.append(f"{left_out} messages could not be read and are left out.")


def _bounded(
    reader: TopicReader, topic: Topic, most: int, notes: list[str]
) -> dict[tuple[str, int], int]:
    ends = reader.ends()
    share = max(1, most // max(1, len(ends)))
    begins = {place: max(0, end - share) for place, end in ends.items()}
    reader.begin_at(Position(*place, offset) for place, offset in begins.items())
    if any(begins.values()):
        notes.append(
            f"A sample: of {topic.name} only about the newest {most:,} messages were read "
            "(--most reads more)."
        )
    return ends


def _audit(kafka: KafkaConnection, most: int, notes: list[str]) -> dict[str, str]:
    sampled: Counter[bytes | None] = Counter()
    try:
        with TopicReader(kafka, [AUDIT]) as reader:
            ends = _bounded(reader, AUDIT, most, notes)
            for _ in reader.reads(ends, lambda it: bool(sampled.update([it.key]))):
                pass
        made: Sequence[CleanPair] = decisions(kafka)
    except ReadError as error:
        notes.append(f"The audit is not known: {error}.")
        return {}
    if not sampled and not made:
        return {}
    states = Counter(each.audit.state.value for each in made)
    judged = len({each.pair_id for each in made})
    told = {"sampled": len(sampled), "judged": judged, **states}
    told["people"] = len({each.audit.by for each in made})
    return {name: f"{count:,}" for name, count in told.items()}
