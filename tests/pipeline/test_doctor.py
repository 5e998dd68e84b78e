"""`kaption doctor --no-servers`, by which the chart downloads models into its volume."""

import pytest
from typer.testing import CliRunner

from kaption.workers.cli.app import app


def test_models_load_without_any_server(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given the demo's models and a broker that does not exist
    monkeypatch.setenv("KAPTION_KAFKA__BOOTSTRAP", "127.0.0.1:1")
    # When doctor skips the servers
    ended = CliRunner().invoke(app, ["doctor", "--no-servers"])
    # Then it loads both models and checks nothing else
    assert ended.exit_code == 0, ended.output
    assert [line.split()[:2] for line in ended.output.splitlines()] == [
        ["ok", "scorer:"],
        ["ok", "captioners:"],
    ]
