"""A stop while models are loaded takes effect at once, whatever loads them."""

import os
import time
from pathlib import Path

import pytest

from kaption.schemas import TOPICS
from kaption.workers.local import Tansu
from support.engine import until
from support.replicas import Replica
from support.topics import environment, with_topics

STAGE = """
import ctypes, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from kaption.workers.runtime.stage import Batching, Stage
from kaption.schemas.topics import RAW

class Slow(Stage):
    name = "slow"
    inputs = (RAW,)
    outputs = ()
    def setup(self):
        Path({began!r}).touch()
        {load}
    batching = Batching(max_records=1, max_wait_s=1)
    def prepare(self, incoming):
        return None
    def process(self, messages):
        return []
"""
LOADS = {
    "C++": "ctypes.CDLL(None).sleep(600)",
    "downloads": "[ThreadPoolExecutor(2).submit(time.sleep, 600) for _ in range(2)][0].result()",
    "Python": "[time.sleep(0.01) for _ in range(60_000)]",
}


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
def test_a_worker_ends_at_a_signal_while_it_loads_a_model(
    tansu: Tansu, topic_prefix: str, tmp_path: Path, load: str
) -> None:
    # Given a worker whose stage loads for ten minutes
    kafka = with_topics(tansu.bootstrap, topic_prefix, TOPICS)
    began = tmp_path / "began"
    (tmp_path / "slow_stage.py").write_text(STAGE.format(began=str(began), load=load))
    settings = {
        **environment(kafka),
        "KAPTION_STORE__URL": str(tmp_path / "store"),
        "KAPTION_HEALTH__PORT": "0",
        "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}",
    }
    replica = Replica("slow_stage:Slow", 0, settings, tmp_path)
    replica.start()
    until(lambda: began.exists() or replica.ended is not None, 120)
    assert began.exists(), replica.log.read_text()[-4000:]
    # When it is asked to stop
    asked = time.monotonic()
    code = replica.stop()
    # Then it ends, long before a supervisor would kill it, and says why
    told = replica.log.read_text()
    assert code == 0, told[-4000:]
    assert time.monotonic() - asked < 20
    assert told.count("stopped while a model was loaded") == 1
