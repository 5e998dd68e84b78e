"""Every RUN step of deploy/Dockerfile, and its commands as a hardened container runs them."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kaption.connections.kafka.topics import TopicAdmin
from kaption.connections.settings import KafkaConnection
from kaption.schemas import TOPICS
from kaption.workers.local import Tansu
from kaption.workers.local.ports import free_ports
from support.engine import until
from support.images import STAGES, needs
from support.publishing import published_pairs, with_topic

SCRIPT = Path(__file__).parents[2] / "deploy" / "try_image.py"
TRIED = ("tools", "worker-gpu")
LIMIT_S = 600
pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(2 * LIMIT_S),
    pytest.mark.skipif(
        os.geteuid() != 0 and os.environ.get("CI") != "true", reason="mounting needs root"
    ),
]


@contextmanager
def container(log: Path, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """Build an image, then run its command until told to stop, as `docker stop` would."""
    given = [word for name, value in settings.items() for word in ("-e", f"{name}={value}")]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *given, *arguments], stdout=file, stderr=file
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def test_every_step_is_tried() -> None:
    tried = set().union(*map(needs, TRIED))

    untried = STAGES.keys() - tried
    assert not [
        step for name in untried for step in STAGES[name].steps if step.instruction == "RUN"
    ]


def test_tools_run_without_models_and_stop_when_told(
    tansu: Tansu, topic_prefix: str, tmp_path: Path
) -> None:
    # Given a topic
    kafka, log = with_topic(tansu.bootstrap, topic_prefix), tmp_path / "log"
    settings = {
        "KAPTION_KAFKA__BOOTSTRAP": kafka.bootstrap,
        "KAPTION_KAFKA__TOPIC_PREFIX": topic_prefix,
    }
    # When the demo's crawl is run by an image that installs all that it has
    with container(log, TRIED[0], "crawl", "--pairs", "12", **settings) as crawl:
        done = until(
            lambda: "12 pairs published" in log.read_text() or crawl.poll() is not None, LIMIT_S
        )
    # Then its pairs are there, and it ends in order
    assert done
    assert crawl.returncode == 0, log.read_text()[-4000:]
    assert len(published_pairs(kafka)) == 12


def test_a_worker_gets_ready_and_stops_in_order(
    tansu: Tansu, topic_prefix: str, redis_url: str, tmp_path: Path
) -> None:
    # Given topics, Redis, and the packages of this environment in place of the image's 5 GB
    (port,), log = free_ports(1), tmp_path / "log"
    kafka = KafkaConnection(bootstrap=tansu.bootstrap, topic_prefix=topic_prefix)
    with TopicAdmin(kafka) as admin:
        admin.create(TOPICS)
    settings = {
        "KAPTION_KAFKA__BOOTSTRAP": kafka.bootstrap,
        "KAPTION_KAFKA__TOPIC_PREFIX": topic_prefix,
        "KAPTION_REDIS__URL": redis_url,
        "KAPTION_HEALTH__HOST": "127.0.0.1",
        "KAPTION_HEALTH__PORT": str(port),
        "KAPTION_RUNTIME__SESSION_TIMEOUT_S": "6",
    }
    packages = ["--packages", sys.prefix]
    # When a stage that decodes in child processes is run
    with container(log, *packages, TRIED[1], "work", "ingest", **settings) as worker:
        until(lambda: _ready(port) or worker.poll() is not None, LIMIT_S)
        ready = _ready(port)
    # Then it gets ready, and leaves in order
    assert ready, log.read_text()[-4000:]
    assert worker.returncode == 0, log.read_text()[-4000:]


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
