"""Builds the messages that carry an outcome."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from kaption.connections.kafka.messages import Message, Outgoing
from kaption.connections.traceparent import child_of, header_of
from kaption.schemas import DeadLetter, OriginalHeader, RejectedPair, Versioned
from kaption.schemas.limits import DETAIL_CHARS
from kaption.schemas.topics import DEAD, REJECTED, Topic
from kaption.schemas.wire import (
    TRACE_HEADER,
    WireError,
    encode,
    explain,
    header,
    headers_of,
    origin_of,
)
from kaption.workers.runtime.entry import Batch, Entry, about
from kaption.workers.runtime.stage import Dead, Emit, Reject, Stage
from kaption.workers.runtime.tracing import Tracing

# What a message takes on the wire besides key, value and headers: batch header, varints, and what
# compression adds to bytes that do not compress.
_OVERHEAD_BYTES = 1024

_log = logging.getLogger(__name__)


class TooLarge(ValueError):
    """A message is larger than its topic accepts."""


class Outputs:
    """Builds messages for one stage; `now` gives aware UTC times."""

    def __init__(
        self,
        stage: Stage[Any, Any],
        prefix: str,
        now: Callable[[], datetime],
        random_source: random.Random,
        tracing: Tracing | None = None,
    ) -> None:
        self._stage = stage
        self._topics = {topic.name: topic.prefixed(prefix) for topic in stage.outputs}
        self._rejected = REJECTED.prefixed(prefix)
        self._dead = DEAD.prefixed(prefix)
        self._now = now
        self._random = random_source
        self._tracing = tracing

    def build_batch(self, batch: Batch, since: int) -> None:
        """Build the messages of a processed batch, and end its span.

        `since` is when its processing began, in nanoseconds since 1970.
        """
        spans = []
        for entry in batch.entries:
            spans.append(self.build(entry))
            entry.prepared = None
        if self._tracing is not None:
            self._tracing.batch(batch, since, spans)

    def build(self, entry: Entry) -> Any:
        """Set `entry.outgoing` to the messages of its outcome; return the record's span.

        An outcome that cannot be written (too large, undeclared topic) makes the entry Dead.
        Without tracing there is no span.
        """
        if self._tracing is None:
            self._build(entry)
            return None
        parent = self._parent(entry)
        span = self._tracing.record(entry, parent)
        entry.trace = header_of(span) or child_of(parent, self._random)
        self._build(entry)
        self._tracing.finish(entry, span)
        return span

    def _build(self, entry: Entry) -> None:
        if not isinstance(entry.outcome, Dead):
            try:
                entry.outgoing = self._of_outcome(entry)
            except (TooLarge, ValueError, KeyError) as error:
                entry.die(f"outcome cannot be written: {error}", unexpected=True)
            else:
                return
        entry.outgoing = [self._dead_letter(entry)]
        _log.warning("dead letter", extra={**about(entry), "error": str(entry.outcome)[:500]})

    def _of_outcome(self, entry: Entry) -> Sequence[Outgoing]:
        message, outcome = entry.message, entry.outcome
        if isinstance(outcome, Emit) and not outcome.outputs:
            return ()
        assert message is not None
        if isinstance(outcome, Emit):
            # All outputs of a record share one span, because they come from the same work.
            trace = self._trace(entry)
            return [
                self._outgoing(entry, self._topics[topic.name], record, trace)
                for topic, record in outcome.outputs
            ]
        assert isinstance(outcome, Reject)
        rejected = RejectedPair(
            pair_id=message.record.pair_id,
            stage=self._stage.name,
            reason=outcome.reason,
            detail=outcome.detail[:DETAIL_CHARS],
            rejected_at=self._now(),
            record_schema=message.record.schema_name(),
            record=message.record.model_dump(mode="json", exclude_defaults=True),
        )
        return [self._outgoing(entry, self._rejected, rejected, self._trace(entry))]

    def _dead_letter(self, entry: Entry) -> Outgoing:
        outcome, raw = entry.outcome, entry.raw
        assert isinstance(outcome, Dead)
        fields: dict[str, Any] = {
            "topic": raw.topic,
            "partition": raw.partition,
            "offset": raw.offset,
            "topic_id": entry.topic_id,
            "timestamp_ms": raw.timestamp,
            "stage": self._stage.name,
            "error": str(outcome)[:DETAIL_CHARS] or type(outcome).__name__,
            "attempts": max(1, entry.attempts),
            "died_at": self._now(),
        }
        trace = self._trace(entry)
        try:
            letter = DeadLetter(
                **fields,
                key=raw.key,
                value=raw.value,
                headers=tuple(OriginalHeader(key=k, value=v) for k, v in raw.headers),
            )
            return self._outgoing(entry, self._dead, letter, trace)
        except (ValidationError, TooLarge) as error:
            # The original is larger than the contract allows. The dead letter goes without it: its
            # topic, partition and offset still say where it is.
            why = explain(error, DeadLetter) if isinstance(error, ValidationError) else error
            note = f"{fields['error']} (original not kept, it does not fit: {why})"
            fields["error"] = note[:DETAIL_CHARS]
            return self._outgoing(
                entry, self._dead, DeadLetter(**fields, key=None, value=None), trace
            )

    def _outgoing(self, entry: Entry, topic: Topic, record: Versioned, trace: str) -> Outgoing:
        key = entry.raw.key if topic is self._dead else _key(record, entry.raw.key)
        value = encode(record)
        headers = headers_of(record, _origin(entry), trace)
        size = len(value) + len(key or b"") + sum(len(k) + len(v) for k, v in headers)
        if size + _OVERHEAD_BYTES > topic.max_message_bytes:
            raise TooLarge(
                f"{size} bytes for {topic.name}, which takes {topic.max_message_bytes} with "
                f"{_OVERHEAD_BYTES} of framing"
            )
        return Outgoing(topic.name, Message(value, key, tuple(headers)))

    def _trace(self, entry: Entry) -> str:
        return entry.trace or child_of(self._parent(entry), self._random)

    def _parent(self, entry: Entry) -> str | None:
        try:
            return header(entry.raw.headers, TRACE_HEADER)
        except WireError:
            return None


def _key(record: Versioned, otherwise: bytes | None) -> bytes | None:
    pair_id = getattr(record, "pair_id", None)
    return pair_id.encode() if isinstance(pair_id, str) else otherwise


def _origin(entry: Entry) -> Any:
    if entry.message is not None:
        return entry.message.origin
    try:
        return origin_of(entry.raw.headers, entry.position)
    except WireError:
        return entry.position
