"""Ctrl-C in commands that read topics: one line, and the program ends."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from kaption.connections.settings import KafkaConnection
from kaption.consumers import TopicReader
from kaption.producers import Publisher
from kaption.schemas import TOPICS
from kaption.schemas.topics import RAW
from kaption.testing.records import raw_pair
from kaption.workers.local import Tansu
from support.program import PROGRAM
from support.topics import environment, with_topics

pytestmark = pytest.mark.slow


def raw(kafka: KafkaConnection) -> int:
    with TopicReader(kafka, [RAW]) as reader:
        return sum(1 for _ in reader)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_replay_that_is_stopped_ends_with_one_line(
    tansu: Tansu, topic_prefix: str, number: signal.Signals
) -> None:
    # Given a slow replay, which reads a topic while it publishes
    kafka = with_topics(tansu.bootstrap, topic_prefix, TOPICS)
    with Publisher(kafka) as publisher:
        for at in range(40):
            publisher.publish(raw_pair(at))
    settings = environment(kafka)
    with subprocess.Popen(
        [PROGRAM, "replay", "raw", "--rate", "2"],
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A background process of a script ignores SIGINT, and its children would too.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as replay:
        end = time.monotonic() + 60
        while raw(kafka) == 40:
            assert time.monotonic() < end
        # When it is stopped
        replay.send_signal(number)
        _, said = replay.communicate(timeout=60)
    # Then it ends, and says so in one line
    assert replay.returncode == 130
    assert said.strip() == "kaption: stopped. Give the same command again to finish"


def interrupted(moment: str, before: signal.Handlers) -> tuple[int, str, str]:
    """Run the program as pip makes it, with a Ctrl-C when a module is to be loaded.

    `before` is what its parent does about SIGINT. Returns its status, stdout and stderr.
    """
    program = f"""
import os, sys
class Moment:
    def find_spec(self, name, *_):
        if name == {moment!r}:
            os.kill(os.getpid(), {signal.SIGINT.value})
sys.meta_path.insert(0, Moment())
sys.argv[:] = ["kaption", "--version"]
from kaption.workers.cli import main
sys.exit(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=partial(signal.signal, signal.SIGINT, before),
    )
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize(
    "moment", ["typing", "logging", "typer", "pydantic", "kafka", "kaption.workers.cli.app"]
)
def test_a_command_that_is_stopped_while_its_modules_are_loaded_is_silent(moment: str) -> None:
    assert interrupted(moment, signal.SIG_DFL) == (130, "", "")


def test_a_command_in_the_background_of_a_script_ignores_ctrl_c_from_its_start() -> None:
    status, said, _ = interrupted("typer", signal.SIG_IGN)
    assert status == 0
    assert said.startswith("kaption ")
