"""Every command that needs Kafka says in one line, and soon, that no broker is there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Timer

import pytest
import typer

from kaption.connections.kafka import access
from kaption.connections.kafka.topics import TopicAdmin
from kaption.connections.settings import KafkaConnection
from kaption.consumers import TopicReader
from kaption.schemas.topics import RAW
from kaption.workers.cli.app import app
from kaption.workers.local import Tansu, Valkey
from support.parts import serving

pytestmark = pytest.mark.slow

NOWHERE = "127.0.0.1:1"
# Kafka's clients wait for an hour, so that no test has to time how soon a command looks itself.
PROGRAM = (
    "from kaption.connections.kafka import clients\n"
    "clients._ms = lambda seconds: 3_600_000\n"
    "from kaption.workers.cli import main\n"
    "main()"
)
LIMIT_S = 120.0

WITH_KAFKA = [
    ["run", "pairs.jsonl", "out", "--models", "demo", "--kafka", NOWHERE],
    ["crawl"],
    ["produce", "pairs.jsonl"],
    ["replay", "dead"],
    ["replay", "rejected", "--yes"],
    ["consume", "out.jsonl"],
    ["takedown", "example.org"],
    ["takedown", "example.org", "--yes"],
    ["recheck", "rechecked.jsonl"],
    ["work", "ingest"],
    ["status"],
    ["report"],
    ["pair", "pair-1"],
    ["topics", "create"],
    ["topics", "check"],
    ["topics", "describe"],
    ["topics", "delete", "--yes"],
    ["audit", "serve"],
    ["audit", "report"],
    ["audit", "export", "tasks"],
    ["audit", "import", "labels.json"],
    ["rebuild", "redis"],
]
WITHOUT_KAFKA = {"demo", "caption", "compact", "table", "sources", "schema", "size", "settings"}
WITHOUT_KAFKA |= {"topics acls", "topics strimzi", "pins add", "pins delete"}
TOLD_AMONG_OTHERS = {"doctor"}  # tests/pipeline/test_doctor.py


@pytest.fixture(scope="module")
def ended(
    tmp_path_factory: pytest.TempPathFactory, valkey: Valkey
) -> Iterator[dict[str, Future[subprocess.CompletedProcess[str]]]]:
    """Give what each command did, by its words. Four run at a time, for they mostly wait."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "kaption-store").mkdir()
    (folder / "labels.json").write_text("[]")
    (folder / "pairs.jsonl").write_text('{"image": "https://a.example/a.jpg", "text": "a cat"}\n')
    settings = {
        "KAPTION_KAFKA__BOOTSTRAP": NOWHERE,
        "KAPTION_REDIS__URL": valkey.database_url(0),
        "KAPTION_MODELS": "demo",
        "KAPTION_HEALTH__PORT": "0",
    }

    def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-c", PROGRAM, *arguments],
            env=os.environ | settings,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    with ThreadPoolExecutor(4) as pool:
        yield {" ".join(each): pool.submit(run, each) for each in WITH_KAFKA}


@pytest.mark.parametrize("command", [" ".join(each) for each in WITH_KAFKA])
def test_a_missing_broker_is_told_in_one_line(
    command: str, ended: dict[str, Future[subprocess.CompletedProcess[str]]]
) -> None:
    # Given a port where nothing listens, and clients that would wait there for an hour
    # When the command is given
    told = ended[command].result()
    # Then its last line says what to do; other lines say that the models are toys
    *others, line = told.stderr.splitlines()
    assert told.returncode == 1
    assert line.startswith("kaption: no ")
    assert "roker answers" in line
    assert NOWHERE in line
    assert "kafka.bootstrap" in line
    assert [each for each in others if "toy" not in each] == []


def test_every_command_is_in_one_of_the_lists() -> None:
    here = set(_commands(typer.main.get_command(app)))
    tried = {" ".join(each[:2]) for each in WITH_KAFKA} | {each[0] for each in WITH_KAFKA}
    assert here - tried == WITHOUT_KAFKA | TOLD_AMONG_OTHERS


@pytest.mark.parametrize("client", [TopicAdmin, lambda at: TopicReader(at, [RAW])])
def test_a_slow_broker_is_waited_for(client: type, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a broker that takes connections, and answers later than a look at it lasts
    monkeypatch.setattr(access, "TIMEOUT_S", 0.5)
    with serving(Tansu()) as server:
        server.freeze()
        thaws = Timer(5.0, server.thaw)
        thaws.start()
        # When a client is opened, then there is no error
        with client(KafkaConnection(bootstrap=server.bootstrap)):
            thaws.join()


def _commands(group: object, path: str = "") -> Iterator[str]:
    for name, each in getattr(group, "commands", {}).items():
        whole = f"{path} {name}".strip()
        yield from _commands(each, whole) if hasattr(each, "commands") else [whole]
