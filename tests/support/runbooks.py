"""The runbooks of docs/operating.md for the tests that carry them out, and the situations there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import TypeVar
from zlib import crc32

import yaml

from kaption.connections.kafka.partitioner import partition_of
from kaption.consumers import TopicReader
from kaption.schemas import ImageSource, RawPair, Topic
from kaption.schemas.topics import INGESTED, RAW
from support.chart import CHART, ROOT
from support.deployment import Deployment
from support.engine import until
from support.ingest_bench import image_bytes
from support.metrics_in_use import used

T = TypeVar("T", bound=Callable[..., None])

_PAGE = (ROOT / "docs" / "operating.md").read_text("utf-8")
_ALERTS = _PAGE.partition("\n## Alerts\n")[2].partition("\n## ")[0]
RUNBOOKS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", _ALERTS, re.MULTILINE | re.DOTALL))
"""By alert, its section."""
EXPRESSIONS = {
    rule["alert"]: rule["expr"]
    for group in yaml.safe_load((CHART / "files" / "alerts.yaml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
}

BROKER = "--bootstrap-server host:9092"
DOCTOR = "kaption doctor --no-models"
STAGE_DOCTOR = "kaption doctor --no-models --stage ingest"
FIND = f"kafka-transactions.sh {BROKER} find-hanging --broker-id 1"
ABORTED = "--topic __consumer_offsets --partition 7 --start-offset 1234"
ABORT = f"kafka-transactions.sh {BROKER} abort {ABORTED}"
LEADER = f"kafka-topics.sh {BROKER} --describe --topic pairs.raw"
RAISE = (
    f"kafka-configs.sh {BROKER} --alter --entity-type topics --entity-name pairs.raw"
    " --add-config retention.ms=2592000000"
)
CHECK = "kaption topics check"
LOWER = "kaption topics create --alter"
REPORT = "kaption report"
STATUS = "kaption status"
REPLAY_DEAD = "kaption replay dead"
REPLAY_REJECTED = "kaption replay rejected --reason fetch_status --since 6h"
COMMANDS = (
    *(DOCTOR, STAGE_DOCTOR, FIND, ABORT, LEADER, RAISE, CHECK, LOWER),
    *(REPORT, STATUS, REPLAY_DEAD, REPLAY_REJECTED),
)
NOT_HERE = {
    "kubectl get pods": "needs a cluster of Kubernetes; a worker that ended stands for its pod",
    "kubectl describe pod": "needs a cluster of Kubernetes, whose kubelet keeps why a pod ended",
}
"""Commands of runbooks that no test carries out, with the reason. The table is small on purpose."""


def carries_out(*alerts: str) -> Callable[[T], T]:
    """Mark a test that carries out the runbooks of these alerts, for `carried_out`."""
    assert RUNBOOKS.keys() >= {*alerts}
    return lambda test: test


def carried_out() -> set[str]:
    """The alerts whose runbooks tests carry out, by the sources of these tests."""
    sources = (ROOT / "tests" / "integration").glob("test_*.py")
    marks = [
        mark
        for path in sources
        for mark in re.findall(r"^@carries_out\(([^)]*)\)", path.read_text("utf-8"), re.MULTILINE)
    ]
    return {*re.findall(r"\w+", " ".join(marks))}


def written(alert: str, command: str) -> str:
    """Return the command, which the runbook has word for word."""
    assert command in COMMANDS, command
    assert command in RUNBOOKS[alert], command
    return command


def watched(worker: Deployment, alert: str, metric: str, **labels: str) -> float:
    """What a worker tells of a metric that the alert looks at."""
    assert metric in used(EXPRESSIONS[alert])
    return worker.metric(metric, **labels)


def pair(name: str, number: int = 0, url: str | None = None) -> RawPair:
    """A pair with an image of its own, or with one below an address."""
    pair_id = f"{name}-{number}"
    image = ImageSource(url=f"{url}/{number}.png")
    if url is None:
        image = ImageSource(inline=image_bytes(crc32(pair_id.encode())))
    text = f"A red vase {name} {number} on a wooden table"
    return RawPair(pair_id=pair_id, image=image, text=text)


def keyed(name: str, partition: int) -> RawPair:
    """A pair that goes to this partition of pairs.raw."""
    number = next(
        each
        for each in range(10_000)
        if partition_of(f"{name}-{each}".encode(), RAW.partitions) == partition
    )
    return pair(name, number)


def found(worker: Deployment, topic: Topic) -> dict[str, object]:
    """The newest record of each pair in a topic."""
    with TopicReader(worker.kafka, [topic]) as reader:
        return {getattr(read.record, "pair_id", ""): read.record for read in reader}


def ingested(worker: Deployment, records: Sequence[RawPair]) -> bool:
    """Wait until all these pairs went through ingest."""
    wanted = {record.pair_id for record in records}
    return until(lambda: wanted <= found(worker, INGESTED).keys(), 120)


def waits_for_redis(worker: Deployment) -> int:
    """How often its log says that it does."""
    lines = [json.loads(line) for line in worker.log.splitlines() if '"waiting"' in line]
    return sum("Redis" in line["why"] for line in lines)
