"""The built wheel, installed without extras, is whole, light and publishes."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from kaption.connections.settings import KafkaConnection
from kaption.consumers import TopicReader
from kaption.schemas import RawPair
from kaption.schemas.topics import RAW
from kaption.workers.local import Tansu
from support.topics import environment

ROOT = Path(__file__).parents[2]
PACKAGES = tuple(link.name for link in (ROOT / "kaption").iterdir() if link.is_symlink())
HEAVY = ("torch", "transformers", "redis", "boto3", "PIL", "numpy", "pyarrow")
pytestmark = pytest.mark.integration  # needs a package index; the slow part


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel and what the base needs."""

    folder: Path
    wheel: Path

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A program of the environment, seeing nothing of the source tree nor our settings."""
        clean = {name: value for name, value in os.environ.items() if name[:7] != "KAPTION"}
        clean.pop("PYTHONPATH", None)
        return subprocess.run(
            [str(self.folder / "bin" / command[0]), *command[1:]],
            cwd=self.folder,
            env=clean | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    def python(self, script: str, *arguments: str) -> str:
        """What a script prints; fails the test where it fails."""
        ended = self.run("python", "-I", "-c", script, *arguments)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


PUBLISH = """
import sys
from kaption import KafkaConnection, Publisher

connection = KafkaConnection(bootstrap=sys.argv[1], topic_prefix=sys.argv[2])
with Publisher(connection) as publisher:
    publisher.publish(image="https://a.example/2.jpg", text="a vase")
"""


def succeed(command: Sequence[str], of: KafkaConnection | None = None) -> None:
    """Run a program, with the settings that name the broker where it is to know it."""
    variables = {} if of is None else environment(of)
    ended = subprocess.run(
        command,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    # Not built in place: setuptools would leave its folders there and take up old ones.
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("kaption", *PACKAGES):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    # The source distribution, and the wheel from that.
    succeed([sys.executable, "-m", "build", "--outdir", str(folder), str(source)])
    (wheel,) = folder.glob("*.whl")
    succeed([sys.executable, "-m", "venv", str(folder / "venv")])
    pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    succeed([*pip, "-c", str(ROOT / "constraints.txt"), str(wheel)])
    return Installed(folder / "venv", wheel)


def test_every_file_of_the_packages_is_in_the_wheel(installed: Installed) -> None:
    source = installed.wheel.parent / "source"
    expected = {
        f"kaption/{path.relative_to(source).as_posix()}"
        for package in PACKAGES
        for path in (source / package).rglob("*")
        if path.is_file()
    }

    with zipfile.ZipFile(installed.wheel) as wheel:
        found = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert found == expected | {
        f"kaption/{name}" for name in ("__init__.py", "plugins.py", "py.typed")
    }
    assert "kaption/schemas/json/RawPair.v1.json" in found
    assert "kaption/workers/demo/models/clip/MODEL_CARD.md" in found


def test_a_crawler_s_own_packages_may_have_the_names_of_our_folders(
    installed: Installed, connection: KafkaConnection, tmp_path: Path
) -> None:
    # Given a crawler beside packages of its own that are called as our folders are
    for name in PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('not meant')\n")
    crawler = tmp_path / "crawler.py"
    crawler.write_text(PUBLISH)
    succeed([str(installed.folder / "bin" / "kaption"), "topics", "create"], of=connection)

    # When it publishes
    python = str(installed.folder / "bin" / "python")
    succeed([python, str(crawler), connection.bootstrap, connection.topic_prefix])

    # Then the pair is there
    assert [pair.text for pair in published(connection)] == ["a vase"]


def test_nothing_heavy_comes_with_the_base(installed: Installed) -> None:
    script = (
        "import sys\nfrom importlib.util import find_spec\n"
        "print(*(name for name in sys.argv[1:] if find_spec(name)))\n"
    )

    assert installed.python(script, *HEAVY).strip() == ""


def test_the_command_runs_and_tells_its_parts(installed: Installed) -> None:
    ended = installed.run("kaption", "--help")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert {"run", "demo", "produce", "topics", "schema"} <= set(ended.stdout.split())


def test_a_command_of_an_extra_names_the_extra(installed: Installed) -> None:
    ended = installed.run("kaption", "work", "ingest")

    assert ended.returncode != 0
    assert "kaption[worker]" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_schemas_are_at_hand(installed: Installed) -> None:
    ended = installed.run("kaption", "schema", "RawPair")

    assert json.loads(ended.stdout)["$id"] == "urn:kaption:RawPair/1"


@pytest.fixture
def connection(tansu: Tansu, topic_prefix: str) -> KafkaConnection:
    return KafkaConnection(bootstrap=tansu.bootstrap, topic_prefix=topic_prefix)


def published(connection: KafkaConnection) -> Iterator[RawPair]:
    with TopicReader(connection, [RAW]) as reader:
        for read in reader:
            assert isinstance(read.record, RawPair)
            yield read.record


def test_it_creates_topics_and_publishes(
    installed: Installed, connection: KafkaConnection, tmp_path: Path
) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"text": "a mug", "image": "https://a.example/1.jpg"}\n')

    for command in (["topics", "create"], ["produce", str(tmp_path / "pairs.jsonl")]):
        ended = installed.run("kaption", *command, **environment(connection))
        assert ended.returncode == 0, ended.stderr
    installed.python(PUBLISH, connection.bootstrap, connection.topic_prefix)

    assert {pair.text for pair in published(connection)} == {"a mug", "a vase"}
