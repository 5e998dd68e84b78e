"""The end of a run: faults are printed, in the summary and in the exit code."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from rich.console import Console

from kaption.workers.batch.journal import Journal
from kaption.workers.batch.progress import Display
from kaption.workers.batch.report import RunReport, print_summary, summary
from kaption.workers.batch.tally import Tally
from kaption.workers.cli.run import finish
from kaption.workers.report.spent import written
from kaption.workers.runtime.progress import Snapshot


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
        finish(report(fault), Journal(tmp_path, {}), console)
    # Then it fails, and the fault is printed and in the summary
    assert ended.value.exit_code == 1
    told = json.loads((tmp_path / "summary.json").read_text())
    assert (told["faults"], told["published"], told["clean"]) == ([fault], 2, 1)
    assert f"FAULT: {fault}" in console.export_text()


def test_a_run_without_faults_succeeds(tmp_path: Path) -> None:
    finish(report(), Journal(tmp_path, {}), Console(quiet=True))
    assert json.loads((tmp_path / "summary.json").read_text())["faults"] == []


def test_the_rate_is_that_of_the_pairs_of_this_attempt() -> None:
    # Given an attempt of 2 s that found 90 of 100 inputs done
    of = replace(report(), published=100, earlier=90, seconds=2.0)
    # When it is told
    console = Console(file=io.StringIO(), record=True, width=200)
    print_summary(of, console)
    # Then the rate counts the other ten
    assert "100 pairs, 10 of them now, in 2.0 s (5.0/s)" in console.export_text()
    assert summary(of)["pairs_per_second"] == 5.0


@pytest.mark.parametrize(
    ("value", "said"),
    [
        *((0.0, "0"), (8.3975e-05, "0.000084"), (0.2, "0.2"), (12.3456, "12.35")),
        *((123_456.7, "123,457"), (12_345, "12,345"), (0, "0")),
    ],
)
def test_a_number_for_people_has_no_exponent(value: float, said: str) -> None:
    assert written(value) == said


def snapshot(waiting_for: str | None = None) -> Snapshot:
    return Snapshot(3, 2, {"too_small": 1}, 0, {}, 4, 7, 0, waiting_for)


def test_without_a_terminal_a_line_comes_now_and_then() -> None:
    # Given a display on no terminal, and an earlier attempt with 100 outcomes
    now = 0.0
    console = Console(file=io.StringIO(), record=True, width=200)
    with Display(console, 100, lambda: now) as display:
        # When it is told the numbers every second for 25 s
        for second in range(26):
            now = float(second)
            display.show(100 + 2 * second, 200, 200, {"ingest": snapshot("Redis: away [1]")})
    # Then there are two lines, with rate, time and what is waited for
    lines = console.export_text().splitlines()
    assert len(lines) == 2
    assert lines[0] == (
        "120 of 200 pairs, 2.0/s, 0:00:10 elapsed, 0:00:40 left, ingest waits for Redis: away [1]"
    )


def test_on_a_terminal_there_is_a_bar_with_the_stages() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=120)
    with Display(console, 0) as display:
        display.show(3, None, 7, {"ingest": snapshot("S3: away [/x]")})
        display.show(3, 7, 7, {"ingest": snapshot("S3: away [/x]")})
    assert "3/7" in file.getvalue()
    assert "waiting for S3: away [/x]" in file.getvalue()
