"""`make evaluate`: every measure on a small crawl, from the stream to the table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.documents import ROOT
from support.tiny_models import tiny_clip
from tools.evaluate.__main__ import MEASURES

PAIRS = 60
QUICK = [name for name in MEASURES if name != "fusion"]
"""Fusion trains a captioner for 9 minutes; tests/unit/evaluate holds its parts."""

pytestmark = pytest.mark.slow


def evaluate(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.evaluate", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=880, check=False
    )


def test_every_measure_prints_a_table_with_its_command(tmp_path: Path) -> None:
    # Given a small crawl, a judge that knows nothing and few training steps
    run = tmp_path / "run"
    small = ("--pairs", PAIRS, "--items", 2, "--steps", 2, "--judge", tiny_clip(tmp_path / "clip"))
    # When the measures run
    ended = evaluate(*QUICK, "--run", run, *small)
    # Then each has its command and figures, of the sample that it was measured on
    assert ended.returncode == 0, ended.stderr
    found = json.loads((run / "figures.json").read_text())
    assert list(found) == QUICK
    for name in found:
        assert f"$ {found[name]['command']}" in ended.stdout
        for figure in found[name]["figures"]:
            assert figure["sample"] > 0
            assert figure["low"] is None or figure["low"] <= figure["value"] <= figure["high"]
    # And the same folder with another crawl is refused
    other = evaluate("filtering", "--run", run, "--pairs", PAIRS + 1)
    assert other.returncode != 0
    assert "is of another crawl" in other.stderr


def test_an_unknown_measure_is_told_with_those_there_are() -> None:
    ended = evaluate("filtring")
    assert ended.returncode == 2
    assert "no measure filtring: there are filtering, hard" in ended.stderr
