"""`kaption doctor` on models alone, as the chart fills its volume."""

import pytest
from typer.testing import CliRunner

from kaption.workers.cli.app import app


def test_models_load_without_any_server(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given settings that name the demo's models and a broker that is not there
    monkeypatch.setenv("KAPTION_KAFKA__BOOTSTRAP", "127.0.0.1:1")
    # When doctor leaves out servers
    ended = CliRunner().invoke(app, ["doctor", "--no-servers"])
    # Then it loads both models and the checks, and looks for nothing else
    assert ended.exit_code == 0, ended.output
    assert [line.split()[:2] for line in ended.output.splitlines()] == [
        ["ok", "scorer:"],
        ["ok", "captioners:"],
        ["ok", "checks:"],
    ]
