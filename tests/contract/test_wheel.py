"""The built wheel, installed without extras, is whole, light and publishes."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from consumers import TopicReader
from schemas import KafkaConnection, RawPair
from schemas.topics import RAW
from workers.local import Tansu

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "objectstore", "producers", "workers", "consumers")
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
            timeout=120,
        )

    def python(self, script: str, *arguments: str) -> str:
        """What a script prints; fails the test where it fails."""
        ended = self.run("python", "-I", "-c", script, *arguments)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


def succeed(command: Sequence[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    # Not built in place: setuptools would leave its folders there and take up old ones.
    source = folder / "source"
    for name in PACKAGES:
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    succeed([sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(source)])
    (wheel,) = folder.glob("*.whl")
    succeed([sys.executable, "-m", "venv", str(folder / "venv")])
    pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    succeed([*pip, "-c", str(ROOT / "constraints.txt"), str(wheel)])
    return Installed(folder / "venv", wheel)


def test_every_file_of_the_packages_is_in_the_wheel(installed: Installed) -> None:
    source = installed.wheel.parent / "source"
    expected = {
        path.relative_to(source).as_posix()
        for package in PACKAGES
        for path in (source / package).rglob("*")
        if path.is_file()
    }

    with zipfile.ZipFile(installed.wheel) as wheel:
        found = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert found == expected
    assert {"schemas/json/RawPair.v1.json", "workers/demo/models/clip/MODEL_CARD.md"} <= found
    assert {f"{package}/py.typed" for package in PACKAGES} <= found


def test_each_package_lies_there_and_belongs_to_nobody_else(installed: Installed) -> None:
    script = (
        "import importlib, json, sys\n"
        "from importlib.metadata import packages_distributions\n"
        "owners = packages_distributions()\n"
        "print(json.dumps({name: [importlib.import_module(name).__file__, owners[name]]\n"
        "    for name in sys.argv[1:]}))\n"
    )

    found = json.loads(installed.python(script, *PACKAGES))

    for name in PACKAGES:
        file, owners = found[name]
        assert Path(file).parent.parent.parts[-1] == "site-packages"
        assert Path(file).is_relative_to(installed.folder)
        assert owners == ["kaption"]


def test_with_everything_installed_nobody_else_claims_the_names() -> None:
    owners = packages_distributions()

    assert {name: set(owners.get(name, ())) - {"kaption"} for name in PACKAGES} == {
        name: set() for name in PACKAGES
    }


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
    kafka = {
        "KAPTION_KAFKA__BOOTSTRAP": connection.bootstrap,
        "KAPTION_KAFKA__TOPIC_PREFIX": connection.topic_prefix,
    }
    (tmp_path / "pairs.jsonl").write_text('{"text": "a mug", "image": "https://a.example/1.jpg"}\n')

    for command in (["topics", "create"], ["produce", str(tmp_path / "pairs.jsonl")]):
        ended = installed.run("kaption", *command, **kafka)
        assert ended.returncode == 0, ended.stderr
    installed.python(
        "import sys\n"
        "from producers import Publisher\n"
        "from schemas import KafkaConnection\n"
        "connection = KafkaConnection(bootstrap=sys.argv[1], topic_prefix=sys.argv[2])\n"
        "with Publisher(connection) as publisher:\n"
        "    publisher.publish(image='https://a.example/2.jpg', text='a vase')\n",
        connection.bootstrap,
        connection.topic_prefix,
    )

    assert {pair.text for pair in published(connection)} == {"a mug", "a vase"}
