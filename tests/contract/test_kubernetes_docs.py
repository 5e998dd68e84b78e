"""Commands in docs/kubernetes.md and the README run, as far as they can without a cluster."""

import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from kaption.workers.presets import PRESETS
from kaption.workers.wiring import STAGES
from support.chart import CHART, ROOT, named, program, render, settings
from support.command_line import parse

GUIDE = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8").replace("\\\n     ", "")
FILES = dict(re.findall(r"```yaml\n# (\S+)\n(.*?)```", GUIDE, re.DOTALL))
COMMANDS = [
    *(
        line
        for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
        for line in block.splitlines()
    ),
    *re.findall(r"^((?:docker build|helm|kubectl) .*?)(?:  +# .*)?$", README, re.MULTILINE),
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Give a folder with the files of the guide."""
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def _run(folder: Path, name: str, *arguments: str) -> str:
    ended = subprocess.run(
        [program(name), *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def _docker(arguments: list[str]) -> None:
    assert arguments[0] == "build"
    options = dict(pairwise(arguments))
    dockerfile = (ROOT / options["-f"]).read_text("utf-8")
    assert f" AS {options.get('--target', 'worker-cpu')}\n" in f"{dockerfile}\n"


def _helm(folder: Path, verb: str, *arguments: str) -> None:
    _run(folder, "helm", verb, *arguments, "--help")  # refuses unknown options
    if verb in ("install", "upgrade"):
        made = list(yaml.safe_load_all(_run(folder, "helm", "template", *arguments)))
        assert {"Deployment", "ConfigMap", "Job"} <= {it["kind"] for it in made}


def _kubectl(folder: Path, arguments: list[str]) -> None:
    made = next((it for it in arguments if it.startswith("--from=cronjob/")), None)
    if made:  # kubectl asks the cluster for it
        assert made.rpartition("kaption-")[2] in named(render("platform"), "CronJob")
        return
    if "create" in arguments:
        assert _run(folder, "kubectl", *arguments, "--dry-run=client", "-o", "yaml")
        return
    own, _, inside = " ".join(arguments).partition(" -- ")
    _run(folder, "kubectl", *own.split(), "--help")
    for deployment in re.findall(r"deploy/kaption-(\w+)", own):
        assert deployment in named(render("defaults"), "Deployment")
    if inside.startswith("kaption "):
        parse(inside.split()[1:])


def test_the_guide_has_commands_and_files() -> None:
    assert len(COMMANDS) > 12
    assert any("settings.store.url=" in it for it in COMMANDS)  # as in the README
    assert set(FILES) == set(re.findall(r"-f (\S+\.yaml)", GUIDE))


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_guide_run(checkout: Path, command: str) -> None:
    name, *arguments = shlex.split(command.rpartition(" | ")[2])

    match name:
        case "docker":
            _docker(arguments)
        case "helm":
            _helm(checkout, *arguments)
        case "kubectl":
            _kubectl(checkout, arguments)
        case _:
            pytest.fail(f"no way to try {name}")


BALANCED = PRESETS["balanced"].scorer


@pytest.mark.parametrize("name", FILES)
def test_values_of_the_guide_are_valid_settings(checkout: Path, name: str) -> None:
    files = [option for each in ("values.yaml", name) for option in ("-f", str(checkout / each))]
    own = name == "my-clip.yaml"

    for stage in STAGES:
        clip = settings(render("defaults", *files), stage).clip
        assert clip.model == ("local-dir:/models/my-clip" if own else BALANCED)
        # A model of one's own has no published threshold.
        assert (clip.recommended_score is not None) is own


def test_a_model_is_copied_into_a_volume_that_workers_mount() -> None:
    (copied,) = (number for number, it in enumerate(COMMANDS) if it.startswith("tar c my-clip"))

    assert "-f models.yaml" in COMMANDS[copied - 2]
    assert COMMANDS[copied - 1].endswith("rollout status deploy/kaption-ingest")
    assert "-f models.yaml -f my-clip.yaml" in COMMANDS[copied + 1]


def test_names_in_the_guide_exist() -> None:
    for command in re.findall(r"`kaption ([a-z][^`]*)`", GUIDE):
        parse(command.split())
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    for path in re.findall(r"`((?:keda|models|networkPolicy|serviceAccount)\.[\w.]+)`", GUIDE):
        found = values
        for part in path.split("."):
            found = found[part]
    for link in re.findall(r"\]\(([^)#:]+)\)", GUIDE):
        assert (ROOT / "docs" / link).exists()
