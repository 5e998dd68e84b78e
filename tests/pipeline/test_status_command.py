"""`kaption status`: what it says of stages, workers and refusals, once and again and again."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from rich.console import Console

from kaption.connections.settings import KafkaConnection
from kaption.schemas import Reason, RejectedPair, encode
from kaption.schemas.topics import CLEAN, RAW, REJECTED
from kaption.workers.cli.status import _newest, stage_table
from kaption.workers.local import Tansu
from kaption.workers.report.stage_states import StageState, StageStates
from kaption.workers.report.worker_pages import GpuState, WorkerPages
from kaption.workers.runtime import gpu, metrics
from kaption.workers.runtime.health import HealthServer
from kaption.workers.settings import Settings, UserError
from support.program import PROGRAM
from support.sink_records import now
from support.topics import environment, with_topics

pytestmark = pytest.mark.slow


@pytest.fixture
def kafka(tansu: Tansu, topic_prefix: str) -> KafkaConnection:
    """Seven records in pairs.raw, three of them done, and one refusal."""
    kafka = with_topics(tansu.bootstrap, topic_prefix)
    name = topic_prefix + RAW.name
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    for number in range(7):
        producer.send(name, b"%d" % number, partition=number % 2).get(30)
    refused = RejectedPair(
        pair_id="a",
        stage="ingest",
        reason=Reason.TOO_SMALL,
        rejected_at=now(),
        record_schema="RawPair/1",
        record={},
    )
    producer.send(topic_prefix + REJECTED.name, encode(refused)).get(30)
    producer.close()
    consumer = KafkaConsumer(
        bootstrap_servers=kafka.bootstrap,
        group_id=topic_prefix + "ingest",
        enable_auto_commit=False,
    )
    place = TopicPartition(name, 0)
    consumer.assign([place])
    consumer.commit({place: OffsetAndMetadata(3, "", -1)})
    consumer.close()
    return kafka


def test_records_are_counted_and_workers_tell_what_topics_cannot(kafka: KafkaConnection) -> None:
    metrics.begin("ingest")
    metrics.OUTCOMES.labels("ingest", "emitted", "").inc(2)
    with HealthServer([], 0, "127.0.0.1") as server:
        workers = [f"127.0.0.1:{server.port}", "nowhere.invalid:1", "127.0.0.1:1"]
        with StageStates(Settings(kafka=kafka), 1000, workers) as states:
            states.look()
            metrics.BATCH_SECONDS.labels("ingest").observe(1000)
            ingest, *others = states.look()

            assert states.pages.answered == 1
    assert (ingest.stage, ingest.done, ingest.lag, ingest.exact) == ("ingest", 3, 4, True)
    assert ingest.rate == 0
    assert ingest.left_s is None
    assert ingest.told is not None
    assert ingest.told.outcomes["emitted"] >= 2
    assert ingest.told.busy == 1
    assert [(it.done, it.lag) for it in others[:3]] == [(0, 0)] * 3


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Stands for the driver's library of a machine with two GPUs."""
    made = SimpleNamespace(
        NVMLError=LookupError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda number: number,
        nvmlDeviceGetName=lambda gpu: f"GPU of number {gpu}",
        nvmlDeviceGetUtilizationRates=lambda gpu: SimpleNamespace(gpu=(87, 50)[gpu]),
        nvmlDeviceGetMemoryInfo=lambda gpu: {0: SimpleNamespace(used=2**30, total=2**31)}[gpu],
    )
    monkeypatch.setitem(sys.modules, "pynvml", made)
    yield made
    for gauge in (gpu.USE, gpu.MEMORY_USED, gpu.MEMORY):
        gauge.clear()


def test_gpus_are_shown_as_their_driver_tells(driver: SimpleNamespace) -> None:
    # Given a driver that does not tell the memory of the second GPU
    metrics.begin("score")
    gpu.export_gpus()
    with HealthServer([], 0, "127.0.0.1") as server:
        # When
        told = WorkerPages([f"127.0.0.1:{server.port}"]).look()["score"]

    # Then
    states = {number: state for (_, number), state in told.gpus.items()}
    assert states == {"0": GpuState(0.87, 2**30), "1": GpuState(0.5, None)}
    page = StringIO()
    Console(file=page, width=200).print(stage_table([StageState("score", 1, 0, True, None, told)]))
    assert "87% 1.0 GiB, 50%" in page.getvalue()


def _fails(*_: object) -> None:
    raise LookupError("no driver")


@pytest.mark.parametrize("broken", ["nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetName"])
def test_without_a_gpu_that_answers_nothing_is_shown(driver: SimpleNamespace, broken: str) -> None:
    setattr(driver, broken, _fails)
    metrics.begin("score")

    gpu.export_gpus()

    with HealthServer([], 0, "127.0.0.1") as server:
        assert WorkerPages([f"127.0.0.1:{server.port}"]).look()["score"].gpus == {}


def test_a_withdrawn_pair_is_no_refusal(kafka: KafkaConnection) -> None:
    # Given a clean pair that a takedown has withdrawn, and a message that is no pair
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    for value in (None, b"no pair"):
        producer.send(kafka.topic_prefix + CLEAN.name, value, key=b"a").get(30)
    producer.close()
    # When the newest outcomes are counted, then only the second stands beside the rejection
    refusals = _newest(kafka, 1000).refusals
    assert refusals == {("ingest", "too_small"): 1, ("unknown", "unreadable"): 1}


def test_what_was_not_seen_is_an_estimate(kafka: KafkaConnection) -> None:
    with StageStates(Settings(kafka=kafka), 2, []) as states:
        ingest = states.look()[0]
    assert not ingest.exact
    assert ingest.done + ingest.lag == 7


@pytest.mark.parametrize("address", ["host:port", ":80", "host:99999", ""])
def test_an_address_that_is_none_is_a_mistake_of_the_user(address: str) -> None:
    with pytest.raises(UserError, match="write HOST or HOST:PORT"):
        WorkerPages([address])


def test_a_watch_without_terminal_prints_a_block_each_time_until_it_is_interrupted(
    kafka: KafkaConnection, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    variables = environment(kafka)
    with out.open("w") as file:
        process = subprocess.Popen(
            [PROGRAM, "status", "--watch", "--interval", "0.2"],
            env=os.environ | variables,
            stdout=file,
            stderr=file,
        )
    deadline = time.monotonic() + 120
    while out.read_text().count("too_small") < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    told = out.read_text()
    assert told.count("time left") >= 2, told
    assert "too_small 1" in " ".join(told.split())
    assert "no worker answered" in told
    assert "Traceback" not in told


def test_a_watch_in_a_terminal_is_one_screen_that_is_gone_after_ctrl_c(
    kafka: KafkaConnection,
) -> None:
    # Given a watch in a terminal of 120 x 40
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    variables = environment(kafka) | {"TERM": "xterm-256color"}
    process = subprocess.Popen(
        [PROGRAM, "status", "--watch", "--interval", "0.2"],
        env=os.environ | variables,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(follower)
    told = b""

    def more(until: bytes) -> None:
        nonlocal told
        deadline = time.monotonic() + 120
        while until not in told and time.monotonic() < deadline:
            if select.select([leader], [], [], 1)[0]:
                try:
                    told += os.read(leader, 65536)
                except OSError:  # the program has closed the terminal
                    return

    # When it has drawn the table again, and a person presses Ctrl-C
    for word in (b"\x1b[?1049h", b"too_small", b"no worker answered"):
        more(word)
    told = told[told.index(b"no worker answered") + 1 :]
    more(b"no worker answered")
    again = told
    os.write(leader, b"\x03")
    more(b"\x1b[?1049l")
    more(b"never")

    # Then each drawing begins at the top, and the person's own screen and cursor come back
    assert process.wait(60) == 130
    os.close(leader)
    assert b"\x1b[H" in again
    assert b"time left" in again
    assert b"\x1b[?1049l" in told
    assert b"\x1b[?25h" in told
    assert b"Traceback" not in told
