"""Builds the messages that carry an outcome."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from kaption.connections.kafka.messages import Message, Outgoing
from kaption.schemas import DeadLetter, OriginalHeader, RejectedPair, Versioned
from kaption.schemas.limits import DETAIL_CHARS
from kaption.schemas.topics import DEAD, REJECTED, Topic
from kaption.schemas.wire import TRACE_HEADER, WireError, encode, header, headers_of, origin_of
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.stage import Dead, Emit, Reject, Stage

# What a message takes on the wire besides key, value and headers: batch header, varints, and what
# compression adds to bytes that do not compress.
_OVERHEAD_BYTES = 1024
# Version 00 ends after the flags; ff is no version; neither id may be all zeros.
_TRACE_PARENT = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
)
_SAMPLED = 1


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
    ) -> None:
        self._stage = stage
        self._topics = {topic.name: topic.prefixed(prefix) for topic in stage.outputs}
        self._rejected = REJECTED.prefixed(prefix)
        self._dead = DEAD.prefixed(prefix)
        self._now = now
        self._random = random_source

    def build(self, entry: Entry) -> None:
        """Set `entry.outgoing` to the messages of its outcome.

        An outcome that cannot be written (too large, undeclared topic) makes the entry Dead.
        """
        if not isinstance(entry.outcome, Dead):
            try:
                entry.outgoing = self._of_outcome(entry)
            except (TooLarge, ValueError, KeyError) as error:
                entry.die(f"outcome cannot be written: {error}", unexpected=True)
            else:
                return
        entry.outgoing = [self._dead_letter(entry)]

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
            note = f"{fields['error']} (original not kept, it does not fit: {error})"
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
        try:
            parent = header(entry.raw.headers, TRACE_HEADER)
        except WireError:
            parent = None
        return child_of(parent, self._random)


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


def child_of(parent: str | None, random_source: random.Random) -> str:
    """The W3C traceparent (https://www.w3.org/TR/trace-context/) of what a stage makes of a record.

    It keeps the trace and the sampled flag of `parent` and gets a new span. A missing or malformed
    `parent` starts a new, sampled trace, as the standard asks.
    """
    span = f"{random_source.getrandbits(64) or 1:016x}"
    if match := _TRACE_PARENT.fullmatch(parent or ""):
        return f"00-{match[1]}-{span}-{int(match[2], 16) & _SAMPLED:02x}"
    return f"00-{random_source.getrandbits(128) or 1:032x}-{span}-01"
