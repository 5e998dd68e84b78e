"""Traces of records, by OpenTelemetry: a span for each record in each stage, and for each batch.

The span of a record is a child of the one that its message names (W3C ``traceparent``), so all
spans of a pair make one trace, from the publisher to the shard. A batch has records of many traces:
its span is in a trace of its own, and has a link to each of its records.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Iterable, Sequence
from threading import Event, Lock, Thread
from typing import Any

from kaption.connections.errors import Fatal
from kaption.connections.traceparent import Traceparent, traceparent_of
from kaption.workers.runtime.entry import Batch, Entry
from kaption.workers.runtime.stage import Dead, Emit, Reject

_DEFAULT_LINKS = 128
_EXIT_S = 2.0
"""Longest time that a process waits at its end for the collector to take the last spans."""
_starting = Lock()


def start_tracing() -> Any:
    """Return this process's provider of tracers, and make it where there is none yet.

    It exports by OTLP over HTTP. The variables OTEL_EXPORTER_OTLP_*, OTEL_TRACES_SAMPLER*,
    OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_* and OTEL_SDK_DISABLED are read by the
    SDK. Raises Fatal where the extra `trace` is not installed.
    """
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import SpanLimits, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise Fatal(
            f"runtime.tracing needs {error.name}, which is not installed: "
            'pip install "kaption[trace]", or set KAPTION_RUNTIME__TRACING=false'
        ) from error
    with _starting:
        present = trace.get_tracer_provider()
        if isinstance(present, TracerProvider):  # the program that runs the worker made it
            return present
        resource, limits = Resource.create(), SpanLimits()
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "kaption"}))
        if limits.max_links == _DEFAULT_LINKS:
            # A shard has more records than the default allows links. The batch bounds them anyway.
            limits = SpanLimits(max_links=SpanLimits.UNSET)
        provider = TracerProvider(resource=resource, span_limits=limits, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        _shut_down_at_exit(provider)
        trace.set_tracer_provider(provider)
        return provider


def _shut_down_at_exit(provider: Any) -> None:
    """Send what is left at exit. The SDK would wait 30 s for a collector that is away.

    Its thread waits from the start, because at exit some versions of Python start none.
    """
    leaving, left = Event(), Event()

    def shut_down() -> None:
        leaving.wait()
        provider.shutdown()
        left.set()

    def leave() -> None:
        leaving.set()
        left.wait(_EXIT_S)

    Thread(target=shut_down, name="trace-exit", daemon=True).start()
    atexit.register(leave)


class Tracing:
    """Makes the spans of one stage. Its methods belong to the compute thread."""

    def __init__(self, stage: str, provider: Any) -> None:
        from opentelemetry import trace

        self._stage = stage
        self._trace = trace
        self._tracer = provider.get_tracer("kaption")

    def record(self, entry: Entry, traceparent: str | None) -> Any:
        """Begin the span of a record, at the time at which its preparation began."""
        trace, parent = self._trace, traceparent_of(traceparent)
        context = trace.set_span_in_context(
            trace.INVALID_SPAN
            if parent is None
            else trace.NonRecordingSpan(_context(trace, parent))
        )
        return self._tracer.start_span(
            f"{self._stage} record",
            context,
            trace.SpanKind.CONSUMER,
            start_time=entry.since or time.time_ns(),
        )

    def finish(self, entry: Entry, span: Any) -> None:
        """End the span of a record with the record's outcome."""
        if span.is_recording():
            span.set_attributes(self._about(entry))
            if isinstance(entry.outcome, Dead):
                status = self._trace.Status(self._trace.StatusCode.ERROR, str(entry.outcome)[:500])
                span.set_status(status)
        span.end()

    def batch(self, batch: Batch, began: int, spans: Iterable[Any]) -> None:
        """Make the span of a batch that began at that time, in nanoseconds of the epoch.

        Without a sampled record there is none.
        """
        contexts = [span.get_span_context() for span in spans]
        links = [self._trace.Link(each) for each in contexts if each.trace_flags.sampled]
        if not links:
            return
        attributes = {"kaption.stage": self._stage, "kaption.records": len(batch.entries)}
        if batch.partition is not None:
            attributes |= _place(batch.entries)
        self._tracer.start_span(
            f"{self._stage} batch",
            self._trace.set_span_in_context(self._trace.INVALID_SPAN),
            attributes=attributes,
            links=links,
            start_time=began,
        ).end()

    def _about(self, entry: Entry) -> dict[str, Any]:
        raw = entry.raw
        found: dict[str, Any] = {
            "messaging.system": "kafka",
            "messaging.destination.name": raw.topic,
            "messaging.destination.partition.id": str(raw.partition),
            "messaging.kafka.offset": raw.offset,
            "kaption.stage": self._stage,
        }
        if entry.message is not None:
            found["kaption.pair_id"] = entry.message.record.pair_id
            found["kaption.origin"] = str(entry.message.origin)
        match entry.outcome:
            case Emit(outputs):
                found["kaption.outcome"] = "emit"
                found["kaption.topics"] = [topic.name for topic, _ in outputs]
            case Reject(reason=reason, detail=detail):
                found |= {"kaption.outcome": "reject", "kaption.reason": reason.value}
                found["kaption.detail"] = detail[:500]
            case Dead():
                found |= {"kaption.outcome": "dead", "kaption.reason": str(entry.outcome)[:500]}
        return found


def _context(trace: Any, parent: Traceparent) -> Any:
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if parent.sampled else 0)
    return trace.SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags)


def _place(entries: Sequence[Entry]) -> dict[str, Any]:
    first, last = entries[0].raw, entries[-1].raw
    return {
        "messaging.destination.name": first.topic,
        "messaging.destination.partition.id": str(first.partition),
        "kaption.first_offset": first.offset,
        "kaption.last_offset": last.offset,
    }
