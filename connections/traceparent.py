"""The header ``traceparent`` of a message: W3C Trace Context, https://www.w3.org/TR/trace-context/."""

from __future__ import annotations

import random
import re
import sys
from dataclasses import dataclass
from typing import Any

# Version 00 ends after the flags; ff is no version; neither id may be all zeros.
_TRACEPARENT = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class Traceparent:
    """A span by its ids, and whether its trace is recorded."""

    trace_id: int
    span_id: int
    sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.sampled:02x}"


def traceparent_of(text: str | None) -> Traceparent | None:
    """Read a header; None where it is missing or malformed."""
    match = _TRACEPARENT.fullmatch(text or "")
    if match is None:
        return None
    return Traceparent(int(match[1], 16), int(match[2], 16), bool(int(match[3], 16) & _SAMPLED))


def child_of(parent: str | None, random_source: random.Random) -> str:
    """The header for a stage's output, where no spans are exported.

    It keeps the trace and the sampled flag of `parent`, the header of the stage's input, and gets a
    new span. A missing or malformed `parent` starts a new, sampled trace, as the standard asks.
    """
    span = f"{random_source.getrandbits(64) or 1:016x}"
    # Made for each record, so ids stay text: making a `Traceparent` would parse them as numbers.
    if match := _TRACEPARENT.fullmatch(parent or ""):
        return f"00-{match[1]}-{span}-{int(match[3], 16) & _SAMPLED:02x}"
    return f"00-{random_source.getrandbits(128) or 1:032x}-{span}-01"


def header_of(span: Any) -> str | None:
    """The header for a message made in a span of OpenTelemetry; None for a span without ids."""
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return str(Traceparent(context.trace_id, context.span_id, context.trace_flags.sampled))


def publishing(pair_id: str) -> str | None:
    """The header for a pair that is published, by OpenTelemetry; None where no program uses it.

    A program that traces has imported the library, so one that does not pays nothing for it. The
    span is a child of the program's present one.
    """
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    span = trace.get_tracer("kaption").start_span(
        "publish pair", kind=trace.SpanKind.PRODUCER, attributes={"kaption.pair_id": pair_id}
    )
    span.end()
    return header_of(span)
