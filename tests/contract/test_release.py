"""The release workflow publishes nothing under a tag that is not the version of everything.

It names only what exists. `make cluster` also has actionlint check it; nothing runs its actions.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.compose import OURS
from support.images import STAGES

ROOT = Path(__file__).parents[2]
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]
VERSIONED = ("pyproject.toml", "deploy/helm/kaption/Chart.yaml", "CHANGELOG.md")
BUILDS: list[dict[str, str]] = JOBS["images"]["strategy"]["matrix"]["include"]


def scripts(job: str) -> list[str]:
    return [step["run"] for step in JOBS[job]["steps"] if "run" in step]


def strings(value: Any) -> Iterator[str]:
    """Every text in a part of the workflow."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)
    else:
        yield str(value)


@pytest.mark.parametrize("wrong", ["", "tag", *VERSIONED])
def test_a_tag_passes_only_if_it_is_the_version_everywhere(tmp_path: Path, wrong: str) -> None:
    # Given a checkout whose changelog has a section of the version
    for name in VERSIONED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    log = tmp_path / "CHANGELOG.md"
    log.write_text(log.read_text("utf-8").replace("## [Unreleased]", "## [0.1.0]", 1), "utf-8")
    if wrong in VERSIONED:
        changed = tmp_path / wrong
        changed.write_text(changed.read_text("utf-8").replace("0.1.0", "0.1.1"), "utf-8")
    # When the workflow checks a tag
    (script,) = scripts("check")
    tag = "v0.1.1" if wrong == "tag" else "v0.1.0"
    given = {"GITHUB_REF_NAME": tag, "GITHUB_OUTPUT": str(tmp_path / "output")}
    ended = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=os.environ | given,
        check=False,
    )
    # Then it passes only where all agree, and every job waits for it
    assert (ended.returncode == 0) == (wrong == "")
    needed = {name: str(job.get("needs", "")) for name, job in JOBS.items()}
    assert [name for name, needs in needed.items() if not needs] == ["check"]


@pytest.mark.parametrize("job", JOBS)
def test_each_script_is_bash_that_ends_at_the_first_error(job: str) -> None:
    # With `shell: bash` GitHub adds -e and pipefail; its default lacks the second.
    assert WORKFLOW["defaults"]["run"]["shell"] == "bash"
    for script in scripts(job):
        checked = subprocess.run(["bash", "-n"], input=script.encode(), check=False)
        assert checked.returncode == 0, script


@pytest.mark.parametrize("job", JOBS)
def test_expressions_name_outputs_variables_and_steps_that_exist(job: str) -> None:
    needs = JOBS[job].get("needs", [])
    earlier: set[str] = set()
    given = {"env": WORKFLOW["env"].keys(), "matrix": set().union(*BUILDS), "steps": earlier}
    given["needs"] = {needs} if isinstance(needs, str) else set(needs)
    assert given["needs"] <= JOBS.keys()
    for part in (*JOBS[job]["steps"], JOBS[job].get("outputs", {})):
        for path in re.findall(r"\$\{\{ ([\w.-]+) \}\}", " ".join(strings(part))):
            context, name, *rest = path.split(".")
            if context == "github":
                continue  # actionlint knows what it holds
            assert name in given[context], path
            if context == "needs":
                assert rest[1] in JOBS[name]["outputs"], path
        earlier |= {part["id"]} if "id" in part else set()


def test_the_images_are_those_that_the_dockerfile_builds_and_compose_names() -> None:
    (build,) = [it["with"] for it in JOBS["images"]["steps"] if it.get("id") == "build"]
    suffixes = {it["build"]["target"]: it["image"].partition("0.1.0")[2] for it in OURS.values()}

    assert (ROOT / build["file"]).is_file()
    assert (ROOT / build["context"]).is_dir()
    assert {it["target"]: it["suffix"] for it in BUILDS} == suffixes
    assert suffixes.keys() < STAGES.keys()
    arguments = {value.partition("=")[0] for it in STAGES.values() for _, value in it.steps}
    for it in BUILDS:
        assert it.get("build-args", "TORCH_INDEX").partition("=")[0] in arguments
    # What the document promises of each.
    assert build["platforms"].split(",") == ["linux/amd64", "linux/arm64"]
    assert (build["sbom"], build["provenance"], build["push"]) == (True, "mode=max", True)
    assert build["labels"] == "${{ steps.labels.outputs.labels }}"


def test_files_that_scripts_name_exist() -> None:
    named = {
        word
        for job in JOBS
        for script in scripts(job)
        for word in re.findall(r"(?<=\s)[\w./-]+/[\w./-]+|\b[\w-]+\.(?:md|toml|ya?ml)\b", script)
        if not word.startswith(("/", "dist/"))  # of the runner, and what a step makes
    }

    assert named >= {*VERSIONED, "deploy/helm/kaption"}
    assert [word for word in sorted(named) if not (ROOT / word).exists()] == []


def test_what_is_published_is_signed_by_digest() -> None:
    signed = [line for job in JOBS for line in " ".join(scripts(job)).split("\n")]
    signed = [line for line in signed if "cosign sign" in line]

    assert len(signed) == 2  # the images, in one job for each, and the chart
    assert all(re.search(r'@\$(DIGEST|digest)"', line) for line in signed)
    for job in ("images", "chart"):
        assert JOBS[job]["permissions"] == {
            "contents": "read",
            "packages": "write",
            "id-token": "write",
        }
    assert WORKFLOW["permissions"] == {}


def test_actions_have_versions() -> None:
    used = [step["uses"] for job in JOBS.values() for step in job["steps"] if "uses" in step]

    assert [it for it in used if not re.fullmatch(r"[\w.-]+/[\w.-]+@v\d+(\.\d+)*", it)] == []
