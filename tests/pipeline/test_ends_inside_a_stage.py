"""Workers that end while a stage is in a call that nothing can end: a load, or a batch."""

import os
import signal
import time
from pathlib import Path

import pytest

from kaption.producers import Publisher
from kaption.schemas import TOPICS
from kaption.testing.records import raw_pair
from kaption.workers.local import Tansu
from support.engine import until
from support.replicas import Replica
from support.topics import environment, with_topics

STAGE = """
import ctypes, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import torch
from kaption.connections.errors import Fatal
from kaption.workers.runtime.stage import Batching, Stage
from kaption.schemas.topics import RAW

began = Path({began!r})

def computes():
    # As in a model: each call comes back from C++, over and over.
    numbers = torch.rand(600, 600)
    while True:
        numbers = torch.mm(numbers, numbers)

class Slow(Stage):
    name = "slow"
    inputs = (RAW,)
    outputs = ()
    batching = Batching(max_records=1, max_wait_s=0.1)
    def setup(self):
        {setup}
    def prepare(self, incoming):
        if began.exists():
            raise Fatal("the disk is broken: replace it")
    def process(self, messages):
        {process}
        return []
"""
LOADS = {
    "C++": "ctypes.CDLL(None).sleep(600)",
    "torch": "computes()",
    "downloads": "[ThreadPoolExecutor(2).submit(time.sleep, 600) for _ in range(2)][0].result()",
    "Python": "[time.sleep(0.01) for _ in range(60_000)]",
}


class Slow:
    """A worker of a stage that touches a file and then stays where it is."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, **code: str) -> None:
        self.kafka = with_topics(bootstrap, prefix, TOPICS)
        began = folder / "began"
        written = {"setup": "pass", "process": "pass"} | {
            name: f"began.touch(); {call}" for name, call in code.items()
        }
        (folder / "slow_stage.py").write_text(STAGE.format(began=str(began), **written))
        settings = {
            **environment(self.kafka),
            "KAPTION_STORE__URL": str(folder / "store"),
            "KAPTION_HEALTH__PORT": "0",
            "PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}",
        }
        self.replica = Replica("slow_stage:Slow", 0, settings, folder)
        self.replica.start()
        self._began = began

    def publish(self, number: int) -> None:
        with Publisher(self.kafka) as publisher:
            publisher.publish(raw_pair(number))

    def wait(self) -> None:
        """Wait until it stays where it is."""
        until(lambda: self._began.exists() or self.replica.ended is not None, 120)
        assert self._began.exists(), self.told

    @property
    def told(self) -> str:
        return self.replica.log.read_text()[-4000:]


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
def test_a_worker_ends_at_a_signal_while_it_loads_a_model(
    tansu: Tansu, topic_prefix: str, tmp_path: Path, load: str
) -> None:
    # Given a worker whose stage loads for ten minutes
    worker = Slow(tansu.bootstrap, topic_prefix, tmp_path, setup=load)
    worker.wait()
    # When it is asked to stop
    asked = time.monotonic()
    code = worker.replica.stop()
    # Then it ends, long before a supervisor would kill it, and says why
    assert code == 0, worker.told
    assert time.monotonic() - asked < 20
    assert worker.told.count("ended inside a stage") == 1


@pytest.mark.parametrize("batch", [LOADS["C++"], LOADS["torch"]], ids=["C++", "torch"])
def test_a_second_signal_ends_a_worker_in_the_middle_of_a_batch(
    tansu: Tansu, topic_prefix: str, tmp_path: Path, batch: str
) -> None:
    worker = Slow(tansu.bootstrap, topic_prefix, tmp_path, process=batch)
    worker.publish(1)
    worker.wait()
    os.kill(worker.replica.pid, signal.SIGTERM)
    code = worker.replica.stop()
    assert code == 0, worker.told
    assert worker.told.count("ended inside a stage") == 1


def test_a_worker_that_gives_up_in_the_middle_of_a_batch_says_why(
    tansu: Tansu, topic_prefix: str, tmp_path: Path
) -> None:
    # Given a worker with a batch in its model
    worker = Slow(tansu.bootstrap, topic_prefix, tmp_path, process=LOADS["torch"])
    worker.publish(1)
    worker.wait()
    # When its stage cannot go on
    worker.publish(2)
    until(lambda: worker.replica.ended is not None, 120)
    # Then the process ends with code 1 and one line, and is not aborted
    assert worker.replica.ended == 1, worker.told
    assert worker.told.count("kaption: the disk is broken: replace it") == 1
