"""Rejected pairs, which are in no shard: counted from pairs.rejected, from where it was left."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from kaption.connections.settings import KafkaConnection
from kaption.consumers import TopicReader
from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.layout import Layout
from kaption.schemas import Position, Reason, RejectedPair
from kaption.schemas.counts import ReadUntil, Refusals
from kaption.schemas.record import differ
from kaption.schemas.topics import REJECTED


def known_refusals(objects: ObjectStore, prefix: str) -> Refusals | None:
    """What was counted last; None where nothing was. Raises ValueError (pydantic)."""
    try:
        return Refusals.model_validate_json(objects.get(Layout(prefix).refusals()))
    except KeyError:
        return None


def store_refusals(objects: ObjectStore, prefix: str, refusals: Refusals) -> None:
    """Store what was counted."""
    data = refusals.model_dump_json().encode()
    objects.put(Layout(prefix).refusals(), data, media_type="application/json")


def count_refusals(kafka: KafkaConnection, known: Refusals | None, now: datetime) -> Refusals:
    """Read pairs.rejected from where `known` ends to its present end, and add it up.

    A topic that was deleted and created again is read from its start. Raises ReadError.
    """
    reasons: Counter[str] = Counter(known.reasons if known else {})
    opt_outs: Counter[str] = Counter(known.opt_outs if known else {})
    topic = REJECTED.prefixed(kafka.topic_prefix).name
    with TopicReader(kafka, [REJECTED]) as reader:
        topic_id = reader.topic_id(topic)
        reader.begin_at(
            Position(each.topic, each.partition, each.offset, each.topic_id)
            for each in (known.until if known else ())
            if each.topic == topic and not differ(each.topic_id, topic_id)
        )
        ends = reader.ends()
        for read in filter(None, reader.reads(ends)):
            if isinstance(read.record, RejectedPair):
                reasons[f"{read.record.stage}.{read.record.reason.value}"] += 1
                opt_outs.update(_kinds(read.record))
    until = tuple(
        ReadUntil(topic=name, partition=partition, offset=end, topic_id=topic_id)
        for (name, partition), end in sorted(ends.items())
    )
    return Refusals(until=until, counted_at=now, reasons=reasons, opt_outs=opt_outs)


def _kinds(rejected: RejectedPair) -> set[str]:
    """The kinds of the record's own signals that counted, else that of the first one found."""
    if rejected.reason is not Reason.OPTED_OUT:
        return set()
    # The detail lists the signals that ingest found. Values may hold commas, so only the first
    # signal can be read from it.
    own = {signal["kind"] for signal in rejected.record.get("opt_out", ())}
    return {kind for kind in own if kind in rejected.detail} or {rejected.detail.split(" ", 1)[0]}
