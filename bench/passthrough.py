"""Compares the engine, passing records through, with a bare kafka-python loop.

Both consume a topic with read_committed and write every record to another topic, in transactions
that carry the offsets. They run in turns on the same broker. The bare loop only copies bytes. The
engine decodes, validates and encodes every record, and isolates, batches, traces and counts them. A
ratio of 1 means that all of this costs no throughput. The bare loop commits each batch alone, the
engine commits finished batches together.

    python -m bench.passthrough --records 20000 --batches 64 256 1024
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import statistics
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import REGISTRY

from kaption.connections.settings import KafkaConnection
from kaption.schemas import RawPair
from kaption.schemas.topics import RAW, Topic
from kaption.schemas.wire import encode, headers_of
from kaption.testing.records import raw_pair
from kaption.workers.runtime.pipeline import Pipeline
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.stage import Batching, Emit, Incoming, Outcome, Stage
from kaption.workers.runtime.worker import Worker
from tools.servers import ApacheKafka

_OUT = Topic("pairs.out", RawPair, "what was passed through")
_PARTITIONS = 4
_TEXT_CHARS = 1200
_THREADS = {
    "kafka-io": "kafka-python's consumer I/O",
    "-network-thread": "kafka-python's producer I/O",
    "-transaction": "kafka-python's producer",
    "-poll": "poll (kafka-python's consumer and the engine)",
    "-prepare": "prepare (the engine)",
    "-compute": "compute (the engine)",
}
"""What a thread does, by a part of its name."""


class Passthrough(Stage[RawPair, RawPair]):
    """A stage that emits each record unchanged."""

    inputs: ClassVar[tuple[Topic, ...]] = (RAW,)
    outputs: ClassVar[tuple[Topic, ...]] = (_OUT,)

    def __init__(self, name: str, batch: int) -> None:
        self.name = name  # type: ignore[misc]  # a fresh consumer group for every run
        self._batching = Batching(max_records=batch, max_wait_s=0.2)

    @property
    def batching(self) -> Batching:
        """As configured."""
        return self._batching

    def prepare(self, message: Incoming[RawPair]) -> RawPair:
        """Nothing to do."""
        return message.record

    def process(self, batch: Sequence[tuple[Incoming[RawPair], RawPair]]) -> Sequence[Outcome]:
        """Emit each record."""
        return [Emit(((_OUT, record),)) for _, record in batch]


class _Encoder(SpanExporter):
    """A collector that takes no time: what remains is the cost on the worker's machine."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Encode them as OTLP does."""
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS


class _Started(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python is untyped
    """Records the time of the last assignment of partitions."""

    at = 0.0

    def on_partitions_assigned(self, assigned: object) -> None:
        """Start the clock."""
        self.at = time.perf_counter()

    def on_partitions_revoked(self, revoked: object) -> None:
        """Nothing to do."""


def bare(bootstrap: str, prefix: str, batch: int, records: int) -> float:
    """Seconds for `records`, from the assignment to the last commit."""
    run = f"bare-{uuid.uuid4().hex[:8]}"
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=prefix + run,
        partition_assignment_strategy=[CooperativeStickyAssignor()],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_poll_records=batch,
        metrics_enabled=False,
    )
    producer = KafkaProducer(
        bootstrap_servers=bootstrap,
        transactional_id=prefix + run,
        compression_type="zstd",
        batch_size=256 * 1024,
        retry_backoff_ms=1,
        metrics_enabled=False,
    )
    producer.init_transactions()
    started = _Started()
    consumer.subscribe([prefix + RAW.name], listener=started)
    done = 0
    while done < records:
        polled = consumer.poll(200)
        if not polled:
            continue
        producer.begin_transaction()
        offsets = {}
        for partition, messages in polled.items():
            for message in messages:
                producer.send(
                    prefix + _OUT.name,
                    message.value,
                    key=message.key,
                    headers=list(message.headers),
                )
            offsets[partition] = OffsetAndMetadata(messages[-1].offset + 1, "", -1)
            done += len(messages)
        producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
        producer.commit_transaction()
    seconds = time.perf_counter() - started.at
    producer.close()
    consumer.close()
    return seconds


def engine(
    bootstrap: str, prefix: str, batch: int, records: int, *, tracing: bool = False
) -> float:
    """Seconds for `records`, from the assignment to the last commit."""
    stage = Passthrough(f"engine-{uuid.uuid4().hex[:8]}", batch)
    connection = KafkaConnection(bootstrap=bootstrap, topic_prefix=prefix)
    worker = Worker(stage, connection, RuntimePolicy(tracing=tracing))
    pipeline = Pipeline({stage.name: worker})
    pipeline.start()
    # Not when the worker is ready: it is a member of its group then, and has no partitions yet.
    changes = partial(
        REGISTRY.get_sample_value, "kaption_partition_changes_total", {"stage": stage.name}
    )
    while not changes() and not pipeline.failed.is_set():
        time.sleep(0.002)
    began = time.perf_counter()
    while worker.progress.snapshot().records < records and not pipeline.failed.is_set():
        time.sleep(0.02)
    seconds = time.perf_counter() - began
    shares = ", ".join(f"{1e6 * used / records:.0f} {name}" for name, used in by_thread().items())
    print(f"  us of a record in threads, start included: {shares}")
    pipeline.stop()
    pipeline.join()
    return seconds


def by_thread() -> dict[str, float]:
    """Processor seconds of this worker's threads. Only the producer's are the library's alone."""
    used = dict.fromkeys(_THREADS.values(), 0.0)
    for thread in threading.enumerate():
        stat = Path(f"/proc/self/task/{thread.native_id}/schedstat")
        for mark, kind in _THREADS.items():
            if mark in thread.name:
                used[kind] += int(stat.read_text().split()[0]) / 1e9
    return used


def traced(bootstrap: str, prefix: str, batch: int, records: int) -> float:
    """As `engine`, with a span of each record and batch, each encoded for a collector."""
    return engine(bootstrap, prefix, batch, records, tracing=True)


def produce(bootstrap: str, prefix: str, records: int) -> None:
    """Write records of about 1.5 kB to the input topic."""
    producer = KafkaProducer(
        bootstrap_servers=bootstrap, compression_type="zstd", linger_ms=20, batch_size=256 * 1024
    )
    for number in range(records):
        text = f"{number} a red square beside a blue circle " * (_TEXT_CHARS // 40)
        name = hashlib.sha256(str(number).encode()).hexdigest()[:32]  # as long as real ones
        pair = raw_pair(number, text=text, pair_id=name)
        producer.send(
            prefix + RAW.name, encode(pair), key=pair.pair_id.encode(), headers=headers_of(pair)
        )
    producer.close()


def count(bootstrap: str, topic: str, number: int) -> tuple[int, int]:
    """The records that read_committed shows in all partitions, and the transaction markers."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    partitions = [TopicPartition(topic, each) for each in range(number)]
    consumer.assign(partitions)
    ends: dict[TopicPartition, int] = consumer.end_offsets(partitions)
    seen = 0
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        seen += sum(len(messages) for messages in consumer.poll(500).values())
    consumer.close()
    return seen, sum(ends.values()) - seen


def measure(
    run: Callable[[str, str, int, int], float],
    bootstrap: str,
    batch: int,
    records: int,
    partitions: int = _PARTITIONS,
) -> float:
    """Records per second of one run on fresh topics. Checks that all records arrived."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    names = [topic.name for topic in (RAW, _OUT)] + ["pairs.rejected", "pairs.dead"]
    admin.create_topics([NewTopic(prefix + name, partitions, 1) for name in names])
    admin.close()
    produce(bootstrap, prefix, records)
    processor = time.process_time()
    seconds = run(bootstrap, prefix, batch, records)
    processor = time.process_time() - processor
    seen, markers = count(bootstrap, prefix + _OUT.name, partitions)
    if seen != records or markers == 0:
        raise SystemExit(f"{run.__name__}: {seen} of {records} records, {markers} markers")
    print(
        f"  {run.__name__:<7} batch {batch:>5}: {records / seconds:>8,.0f} records/s, "
        f"{1e6 * processor / records:.0f} us of processor each, {markers} transaction markers",
        flush=True,
    )
    return records / seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the rounds and print a row for each batch size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--partitions", type=int, default=_PARTITIONS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bootstrap", help="a running Kafka; by default one is started")
    options = parser.parse_args(arguments)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(_Encoder()))
    trace.set_tracer_provider(provider)
    if options.bootstrap:
        rows(options.bootstrap, options)
    else:
        with ApacheKafka(cache=Path.home() / ".cache" / "kaption") as kafka:
            rows(kafka.bootstrap, options)


def rows(bootstrap: str, options: Any) -> None:
    """Measure in turns and print the ratio of the medians."""
    for batch in options.batches:
        rates: dict[str, list[float]] = {"bare": [], "engine": [], "traced": []}
        for _ in range(options.rounds):
            for run in (bare, engine, traced):
                rate = measure(run, bootstrap, batch, options.records, options.partitions)
                rates[run.__name__].append(rate)
        bare_, plain, with_spans = (statistics.median(rates[name]) for name in rates)
        print(
            f"passthrough, batch {batch}: engine/bare = {plain / bare_:.2f}, "
            f"traced/engine = {with_spans / plain:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
