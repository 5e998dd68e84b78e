"""`kaption produce` under SIGKILL: no record is lost, and none is published twice."""

import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from kaption.consumers.topic.reader import TopicReader
from kaption.schemas import RawPair
from support import source_inputs as inputs
from support.producing import start
from support.publishing import TOPIC
from support.topics import environment, with_topics
from tools.servers import ApacheKafka

TEXTS = tuple(map(str, range(500)))
RATE = 200
BATCH_RECORDS = 10
MAKERS = [make for makers in inputs.INPUTS.values() for make in makers]


@pytest.mark.chaos
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_killed_at_any_moment_it_publishes_each_record_once(
    apache_kafka: ApacheKafka,
    topic_prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], str],
) -> None:
    # Given a source that takes longer than any of its runs lives
    monkeypatch.setattr(inputs, "TEXTS", TEXTS)
    source = make(tmp_path)
    connection = with_topics(apache_kafka.bootstrap, topic_prefix, [TOPIC])
    settings = environment(connection)
    log = tmp_path / "log"
    # When a run is killed in the middle, and the run that continues from there at any moment
    rng = random.Random(make.__name__)
    for in_the_middle in (True, False):
        run = start(settings, [source, "--rate", str(RATE)], log, BATCH_RECORDS)
        if in_the_middle:
            wait_for_a_commit(run, log)
        time.sleep(rng.uniform(0.0, 0.3 if in_the_middle else 1.0))
        run.kill()
        run.join()
        assert run.exitcode == -signal.SIGKILL, log.read_text()
    # and the third is not
    run = start(settings, [source], log)
    run.join()
    # Then it has continued where they stopped, and each record is there once
    assert run.exitcode == 0, log.read_text()
    assert "continuing: " in log.read_text()
    with TopicReader(connection, [TOPIC]) as reader:
        records = [read.record for read in reader]
    texts = Counter(each.text if isinstance(each, RawPair) else "none" for each in records)
    assert texts == Counter((*TEXTS, "none"))


def wait_for_a_commit(run: ForkServerProcess, log: Path) -> None:
    """Of this run; fails where it ends before."""
    line = re.compile(r"^[1-9][0-9]* records published", re.MULTILINE)
    while not (log.exists() and line.search(log.read_text())):
        assert run.is_alive(), log.exists() and log.read_text()
        time.sleep(0.01)
