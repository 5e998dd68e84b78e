"""The training example: on a stream, on the live topic, and after a kill."""

from __future__ import annotations

import importlib.util
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import Any

import pytest
from kafka import KafkaProducer

from kaption.connections.kafka.clients import client_config
from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.consumers.stream import Sample
from kaption.objectstore import BlobStore, open_store
from kaption.schemas import Caption, CaptionKind, CleanPair, encode
from kaption.schemas.topics import CLEAN
from kaption.schemas.wire import headers_of
from kaption.workers.demo.images import encoded
from kaption.workers.demo.painting import render
from kaption.workers.demo.scenes import describe, random_scene
from kaption.workers.local import Tansu
from support.tiny_models import tiny_clip
from support.topics import with_topics
from support.training_samples import ListedStream, clean_pair

pytestmark = pytest.mark.usefixtures("one_thread")

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_clip.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_clip", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def scene(number: int) -> tuple[str, bytes]:
    """A true caption and its image, as ingest stores it."""
    rng = random.Random(number)
    drawn = random_scene(rng)
    return describe(drawn), encoded(render(drawn, 64, rng), quality=92)


def pair(number: int, **image: object) -> CleanPair:
    text, _ = scene(number)
    fields = {"original_score": 0.3, **image}
    original = Caption(text=f"photo: {text}", kind=CaptionKind.ORIGINAL)
    return clean_pair(number, text, original, **fields)


def fell(losses: list[float]) -> bool:
    part = len(losses) // 4
    return fmean(losses[-part:]) < 0.8 * fmean(losses[:part])


def test_the_loss_falls(example: ModuleType, tmp_path: Path) -> None:
    samples = [Sample(pair(number), scene(number)[1]) for number in range(512)]
    model = tiny_clip(tmp_path / "model", context=48)
    training = example.Training(ListedStream(samples), model, tmp_path, batch_size=16)

    losses = training.run(steps=300)

    assert len(losses) == 300
    assert fell(losses)


def test_a_resumed_training_ends_like_one_that_was_not_stopped(
    example: ModuleType, tmp_path: Path
) -> None:
    samples = [Sample(pair(number), scene(number)[1]) for number in range(40)]
    model = tiny_clip(tmp_path / "model", context=48)

    def training(out: str) -> Any:
        made = example.Training(ListedStream(samples), model, tmp_path / out, batch_size=5)
        made.resume()
        return made

    whole = training("whole").run(12)
    before = training("parts").run(6)

    after = training("parts").run(12)

    assert (len(before), len(after)) == (6, 6)
    assert before + after == pytest.approx(whole, rel=1e-5)


def test_an_empty_stream_says_what_to_do(example: ModuleType, tmp_path: Path) -> None:
    training = example.Training(ListedStream(), tiny_clip(tmp_path), tmp_path, batch_size=5)

    with pytest.raises(SystemExit, match="no pairs yet"):
        training.run(5)


@contextmanager
def crawling(connection: KafkaConnection, store: StoreConnection) -> Iterator[threading.Thread]:
    """Pairs arrive in pairs.clean, a few hundred a second, until the block ends."""
    done = threading.Event()
    blobs = BlobStore(open_store(store))
    producer = KafkaProducer(**client_config(connection))
    topic = CLEAN.prefixed(connection.topic_prefix).name

    def crawl() -> None:
        number = 0
        while not done.is_set():
            made = pair(number % 600)
            blob = blobs.put(scene(number % 600)[1], "image/jpeg")
            made = made.model_copy(
                update={
                    "pair_id": f"crawled-{number}",
                    "image": made.image.model_copy(update={"blob": blob}),
                }
            )
            producer.send(topic, encode(made), key=made.pair_id.encode(), headers=headers_of(made))
            number += 1
            done.wait(0.002)

    thread = threading.Thread(target=crawl, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        done.set()
        thread.join()
        producer.close()


@pytest.mark.chaos
def test_a_killed_training_resumes_on_the_live_topic(
    tansu: Tansu, topic_prefix: str, tmp_path: Path
) -> None:
    connection = with_topics(tansu.bootstrap, topic_prefix, [CLEAN])
    store = StoreConnection(url=str(tmp_path / "store"))
    out, log, model = tmp_path / "out", tmp_path / "log", tiny_clip(tmp_path / "model", context=48)
    log.touch()

    def start() -> subprocess.Popen[bytes]:
        options = {"bootstrap": tansu.bootstrap, "topic-prefix": topic_prefix, "store": store.url}
        options |= {"model": str(model), "out": str(out), "batch-size": "16"}
        options |= {"steps": "300", "save-every": "20"}
        given = [word for name, value in options.items() for word in (f"--{name}", value)]
        command = [sys.executable, str(EXAMPLE), *given, "--follow"]
        process = subprocess.Popen(command, stdout=log.open("ab"), cwd=EXAMPLE.parents[1])
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process

    with ExitStack() as stack, crawling(connection, store) as crawl:
        first = start()
        deadline = time.monotonic() + 240
        while "step 150 " not in log.read_text():
            assert first.poll() is None
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        first.send_signal(signal.SIGKILL)
        first.wait()
        second = start()

        assert second.wait(240) == 0
        assert crawl.is_alive()

    lines = log.read_text().splitlines()
    losses = [float(line.split()[3]) for line in lines if line.startswith("step")]
    # It may have saved once more before it was killed.
    assert {"continuing from step 140", "continuing from step 160"} & set(lines)
    assert lines[-1].startswith("step 300 ")
    assert fell(losses)
