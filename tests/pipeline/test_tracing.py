"""Traces: what one stage exports, and one trace from the publisher to the shard."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import skimage.data
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kaption.consumers import TopicReader
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.folder import FolderStore
from kaption.producers import Publisher
from kaption.schemas.topics import DEAD, RAW, REJECTED, Topic
from kaption.schemas.wire import TRACE_HEADER, header
from kaption.testing.records import raw_pair
from kaption.workers.local import Tansu
from kaption.workers.replay import Selection, replayable
from kaption.workers.runtime.policy import RuntimePolicy
from support.engine import ECHO, POLICY, Stream, Toy, running, until
from support.otlp import attributes, collector
from support.program import kaption

pytestmark = pytest.mark.slow
TRACED = RuntimePolicy.model_validate(
    POLICY.model_dump() | {"session_timeout_s": 2.0, "tracing": True}
)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Give the spans of this process.

    The library lets a process set its provider once and never take it away, so a later test would
    export its spans too. Ours is therefore put where the library looks for it.
    """
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return exporter


def publish(stream: Stream, *texts: str, traceparent: str | None = None) -> None:
    """Send a pair for each text; with a header of another program's, if one is given."""
    with Publisher(stream.connection) as publisher:
        for number, text in enumerate(texts):
            pair = raw_pair(number, text=text)
            if traceparent is None:
                publisher.publish(pair)
            else:
                headers = [(TRACE_HEADER, traceparent.encode())]
                publisher.publish_bytes(pair.model_dump_json().encode(), b"key", headers)


def processed(stream: Stream, records: int) -> None:
    with running(Toy(), stream, TRACED) as worker:
        assert until(lambda: worker.records == records), worker.error


def sent(stream: Stream, topic: Topic) -> list[str]:
    return [header(message.headers, TRACE_HEADER) or "" for message in stream.read(topic)]


def named(spans: InMemorySpanExporter, name: str) -> list[Any]:
    return [span for span in spans.get_finished_spans() if span.name == name]


def test_each_record_has_a_span_below_its_publisher_s(
    tansu: Tansu, topic_prefix: str, spans: InMemorySpanExporter
) -> None:
    # Given records of every outcome
    stream = Stream(tansu.bootstrap, topic_prefix)
    publish(stream, "text", "reject", "dead", "poison")

    # When
    processed(stream, 4)

    # Then each is a child of its publisher's span, and says what became of it
    parents = {span.context.span_id: span for span in named(spans, "publish pair")}
    records = named(spans, "toy record")
    outcomes = {}
    for span in records:
        parent = parents[span.parent.span_id]
        assert span.context.trace_id == parent.context.trace_id
        assert span.attributes["kaption.pair_id"] == parent.attributes["kaption.pair_id"]
        assert span.start_time <= span.end_time
        about = span.attributes
        outcomes[about["kaption.outcome"], about.get("kaption.reason", "")] = span.status.is_ok
    assert outcomes == {
        ("emit", ""): True,
        ("reject", "too_small"): True,
        ("dead", "as told"): False,
        ("dead", "ValueError: poisoned"): False,
    }
    # and its messages name its span
    for topic, outcome in ((ECHO, "emit"), (REJECTED, "reject"), (DEAD, "dead")):
        ids = {
            f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"
            for span in records
            if span.attributes["kaption.outcome"] == outcome
        }
        assert set(sent(stream, topic)) == ids
    # and the batches have links to all of them
    linked = [link.context.span_id for span in named(spans, "toy batch") for link in span.links]
    assert sorted(linked) == sorted(span.context.span_id for span in records)
    assert all(span.parent is None for span in named(spans, "toy batch"))


@pytest.mark.parametrize("flags", ["00", "01"])
def test_what_the_publisher_does_not_sample_is_not_exported(
    tansu: Tansu, topic_prefix: str, spans: InMemorySpanExporter, flags: str
) -> None:
    # Given a record whose trace another program began
    stream = Stream(tansu.bootstrap, topic_prefix)
    publish(stream, "text", traceparent=f"00-{TRACE}-00f067aa0ba902b7-{flags}")

    # When
    processed(stream, 1)

    # Then its flag decides, and the trace goes on either way
    (following,) = sent(stream, ECHO)
    assert following.startswith(f"00-{TRACE}-")
    assert following.endswith(f"-{flags}")
    assert "00f067aa0ba902b7" not in following
    assert len(named(spans, "toy record")) == len(named(spans, "toy batch")) == int(flags)


@pytest.mark.parametrize("broken", ["", "nonsense", f"00-{TRACE}-0000000000000000-01", "\xff"])
def test_a_broken_header_begins_a_new_trace(
    tansu: Tansu, topic_prefix: str, spans: InMemorySpanExporter, broken: str
) -> None:
    # Given
    stream = Stream(tansu.bootstrap, topic_prefix)
    publish(stream, "text", traceparent=broken)

    # When
    processed(stream, 1)

    # Then
    (span,) = named(spans, "toy record")
    assert span.parent is None
    assert sent(stream, ECHO)[0].split("-")[1] == f"{span.context.trace_id:032x}"


def test_one_trace_leads_from_the_publisher_to_the_shard(tmp_path: Path) -> None:
    # Given a photograph, and a collector to which the environment points
    folder = tmp_path / "photographs"
    folder.mkdir()
    shutil.copy(Path(skimage.data.__file__).parent / "coffee.png", folder)
    source = folder / "pairs.jsonl"
    source.write_text(json.dumps({"image": "coffee.png", "text": "a cup of coffee on a table"}))
    config, out = tmp_path / "kaption.toml", tmp_path / "out"
    config.write_text(
        "[runtime]\ntracing = true\n[score]\ngood_score = 2.0\n[select]\nmin_score = -1.0\n"
    )

    # When the whole pipeline runs
    with collector() as found:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": found.endpoint}
        options = ("--config", config, "--models", "demo")
        ended = kaption("run", source, out, *options, settings=settings)
    assert ended.returncode == 0, ended.stderr

    # Then the stages' spans follow one another in one trace
    assert found.resource["service.name"] == "kaption"
    by_name = {span.name: span for span in found.spans}
    chain = ["publish pair"]
    chain += [f"{name} record" for name in ("ingest", "score", "recaption", "select", "sink")]
    assert {by_name[name].trace_id for name in chain} == {by_name["publish pair"].trace_id}
    for parent, child in pairwise(chain):
        assert by_name[child].parent_span_id == by_name[parent].span_id, child
    # and the shard's is linked to the record
    (link,) = by_name["sink batch"].links
    assert link.span_id == by_name["sink record"].span_id
    (manifest,) = read_manifests(FolderStore(out / "store"), "dataset")
    partition = attributes(by_name["sink batch"])["messaging.destination.partition.id"]
    assert int(partition) == manifest.partition


@pytest.mark.parametrize("what", ["rejected", "dead", "raw"])
def test_a_replayed_message_goes_on_in_its_trace(
    tansu: Tansu, topic_prefix: str, spans: InMemorySpanExporter, what: str
) -> None:
    # Given a record with a trace of its own, and what became of it
    stream = Stream(tansu.bootstrap, topic_prefix)
    text = {"rejected": "reject", "dead": "dead", "raw": "text"}[what]
    publish(stream, text, traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
    processed(stream, 1)
    (first,) = named(spans, "toy record")
    spans.clear()

    # When it is replayed and processed again
    topic = {"rejected": REJECTED, "dead": DEAD, "raw": RAW}[what]
    with TopicReader(stream.connection, [topic]) as reader:
        (found,) = [replayable(read, Selection(topic), stream.prefix) for read in reader]
    assert found is not None
    with Publisher(stream.connection) as publisher:
        publisher.publish_bytes(found[1].value, found[1].key or b"", found[1].headers)
    processed(stream, 1)

    # Then its new span is in the old trace, below the span that refused it
    (again,) = named(spans, "toy record")
    assert again.context.trace_id == first.context.trace_id == int(TRACE, 16)
    assert again.context.span_id != first.context.span_id
    if what == "rejected":
        assert again.parent.span_id == first.context.span_id


def test_a_collector_that_is_away_hardly_delays_the_end_of_a_process() -> None:
    # Given a collector that accepts connections and says nothing
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        program = (
            "import time\nfrom kaption.workers.runtime.tracing import start_tracing\n"
            "tracer = start_tracing().get_tracer('t')\n"
            "for _ in range(2000): tracer.start_span('span').end()\n"
            "print(time.time())"
        )
        env = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}

        # When a process with spans ends
        ended = subprocess.run(
            [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=120
        )
        took = time.time() - float(ended.stdout)

    # Then
    assert ended.returncode == 0, ended.stderr
    assert took < 8  # 2 s, and a busy machine


def test_without_the_extra_the_setting_is_one_clear_line(tmp_path: Path) -> None:
    # Given an installation that lacks the library
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['opentelemetry.sdk.trace'] = None\n"
        "sys.modules['opentelemetry.exporter'] = None\n"
    )
    settings = {
        "KAPTION_RUNTIME__TRACING": "true",
        "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}",
        "KAPTION_KAFKA__BOOTSTRAP": "127.0.0.1:1",
    }

    # When
    ended = kaption("work", "sink", settings=settings)

    # Then
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1].startswith("kaption: runtime.tracing needs ")
    assert 'pip install "kaption[trace]"' in ended.stderr


def test_no_test_leaves_its_provider_to_the_process() -> None:
    assert not isinstance(trace.get_tracer_provider(), TracerProvider)
