"""The end of a run: faults are printed, in the summary and in the exit code."""

import io
import json
from pathlib import Path

import pytest
import typer
from rich.console import Console

from kaption.workers.batch.report import RunReport
from kaption.workers.batch.tally import Tally
from kaption.workers.cli.run import finish


def report(*faults: str) -> RunReport:
    """The report of a run with two inputs, one of them clean."""
    return RunReport(
        published=2, unreadable=0, seconds=1.0, tally=Tally(clean=1), shards=1, faults=faults
    )


def test_a_run_with_faults_fails_and_names_them(tmp_path: Path) -> None:
    # Given a run that lost an input
    fault = "1 of 2 inputs have no outcome"
    console = Console(file=io.StringIO(), record=True)
    # When it finishes
    with pytest.raises(typer.Exit) as ended:
        finish(report(fault), tmp_path, console)
    # Then it fails, and the fault is printed and in the summary
    assert ended.value.exit_code == 1
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["faults"], summary["published"], summary["clean"]) == ([fault], 2, 1)
    assert f"FAULT: {fault}" in console.export_text()


def test_a_run_without_faults_succeeds(tmp_path: Path) -> None:
    finish(report(), tmp_path, Console(quiet=True))
    assert json.loads((tmp_path / "summary.json").read_text())["faults"] == []
