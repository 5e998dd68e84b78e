"""The release workflow publishes nothing under a tag that is not the version of everything."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
VERSIONED = ("pyproject.toml", "deploy/helm/kaption/Chart.yaml", "CHANGELOG.md")


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
    (script,) = [it["run"] for it in WORKFLOW["jobs"]["check"]["steps"] if it.get("id")]
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
    needed = {name: str(job.get("needs", "")) for name, job in WORKFLOW["jobs"].items()}
    assert [name for name, needs in needed.items() if not needs] == ["check"]
