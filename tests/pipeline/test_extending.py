"""docs/extending.md: its files are the examples, and what it says to do works as it says it."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from kafka import KafkaProducer

from kaption.connections.settings import KafkaConnection
from kaption.consumers import TopicReader
from kaption.schemas import TOPICS, CleanPair, encode, headers_of
from kaption.schemas.topics import CLEAN
from kaption.testing.records import clean_pair
from kaption.workers.local import Tansu
from kaption.workers.plugins import load_captioners, load_checks, load_scorer
from kaption.workers.settings import load_settings
from kaption.workers.wiring import build_stage
from own_stage import TRAINING, VALIDATION
from support.command_line import parse
from support.engine import until
from support.replicas import Replica
from support.tiny_models import tiny_transformers_clip
from support.topics import environment, with_topics

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
TEXT = (ROOT / "docs" / "extending.md").read_text("utf-8")
FILES = {
    name: code
    for _, name, code in re.findall(r"```(python|toml)\n# (\S+)[^\n]*\n(.*?)```", TEXT, re.DOTALL)
}
"""By the name in its first line, each block of code."""
COMMANDS = re.findall(r"^    (kaption .*|python .*)$", TEXT, re.MULTILINE)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_transformers_clip(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("own_*.py")))
def test_a_file_of_the_document_is_the_example(name: str) -> None:
    assert FILES[name] == (EXAMPLES / name).read_text("utf-8")


def test_the_settings_load_every_plug_in(tmp_path: Path, model: Path) -> None:
    config = tmp_path / "kaption.toml"
    config.write_text(FILES["kaption.toml"].replace("path/to/model", str(model)))

    settings = load_settings(config)

    names = [captioner.name for captioner in load_captioners(settings.recaption)]
    assert names == ["rules", "colours"]
    assert [check.name for check in load_checks(settings.select)][-1] == "banned_words"
    assert load_scorer(settings.clip).recommended_score == 0.27
    assert build_stage("own_stage:SplitStage", settings).name == "split"
    assert tomllib.loads(FILES["pyproject.toml"])["project"]["entry-points"]


def test_the_suites_run_in_a_project_of_the_user_s_own(tmp_path: Path, model: Path) -> None:
    # Given a folder with the plug-ins and their tests, and none of our tests
    for path in EXAMPLES.glob("own_*.py"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    tests = tmp_path / "test_own_plugins.py"
    tests.write_text(FILES["test_own_plugins.py"].replace("path/to/model", str(model)))

    # When pytest runs there
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
    )

    # Then all suites pass
    assert ended.returncode == 0, ended.stdout
    (passed,) = re.findall(r"^(\d+) passed", ended.stdout, re.MULTILINE)
    assert int(passed) > 50


def test_the_commands_run_the_stage(tansu: Tansu, topic_prefix: str, tmp_path: Path) -> None:
    # Given the topics of the pipeline and clean pairs
    produce, create, work = map(shlex.split, COMMANDS)
    assert parse(produce[1:]) == "produce"
    kafka = with_topics(tansu.bootstrap, topic_prefix, TOPICS)
    pairs = [clean_pair(number) for number in range(200)]
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    for pair in pairs:
        producer.send(
            topic_prefix + CLEAN.name,
            encode(pair),
            key=pair.pair_id.encode(),
            headers=headers_of(pair),
        )
    producer.close()

    # When the topics of the stage are made, and it runs as the document says
    settings = {
        **environment(kafka),
        "KAPTION_HEALTH__PORT": "0",
        "KAPTION_RUNTIME__SESSION_TIMEOUT_S": "2",
        "KAPTION_STORE__URL": str(tmp_path / "store"),
        "KAPTION_STAGES": '{"own_stage:SplitStage": {"validation": 0.25}}',
        "PYTHONPATH": f"{ROOT}{os.pathsep}{EXAMPLES}",
    }
    script = [sys.executable, str(EXAMPLES / create[1])]
    subprocess.run(script, env=os.environ | settings, check=True)
    replica = Replica(work[2], 0, settings, tmp_path)
    replica.start()
    try:
        # Then every pair comes out once, on one side or the other
        assert until(lambda: len(_read(kafka)) >= len(pairs), 60), replica.log.read_text()[-4000:]
    finally:
        code = replica.stop()
    assert code == 0, replica.log.read_text()[-4000:]
    read = _read(kafka)
    assert sorted(pair.pair_id for _, pair in read) == sorted(pair.pair_id for pair in pairs)
    assert {topic for topic, _ in read} == {TRAINING.name, VALIDATION.name}
    assert {pair.provenance.stages[-1].stage for _, pair in read} == {"split"}


def _read(kafka: KafkaConnection) -> list[tuple[str, CleanPair]]:
    found = []
    for topic in (TRAINING, VALIDATION):
        with TopicReader(kafka, [topic]) as reader:
            records = [read.record for read in reader]
        found += [(topic.name, record) for record in records if isinstance(record, CleanPair)]
    return found
