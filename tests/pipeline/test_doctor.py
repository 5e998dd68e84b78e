"""`kaption doctor --no-servers`, by which the chart downloads models into its volume."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from kaption.workers.cli.app import app
from support.odd_models import change_weights
from support.tiny_models import tiny_blip


def test_models_load_without_any_server(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given the demo's models and a broker that does not exist
    monkeypatch.setenv("KAPTION_MODELS", "demo")
    monkeypatch.setenv("KAPTION_KAFKA__BOOTSTRAP", "127.0.0.1:1")
    # When doctor skips the servers
    ended = CliRunner().invoke(app, ["doctor", "--no-servers"])
    # Then it loads both models and the checks, and looks for nothing else
    assert ended.exit_code == 0, ended.output
    assert [line.split()[:2] for line in ended.output.splitlines()] == [
        ["ok", "scorer:"],
        ["ok", "captioners:"],
        ["ok", "checks:"],
    ]
    assert "calls a red disc" in ended.output
    # And it says that they are toys
    assert ended.output.count("a toy that knows the rendered scenes") == 2


def test_the_models_are_tried_and_a_checkpoint_without_weights_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a captioner some of whose weights are missing
    folder = tiny_blip(tmp_path)
    monkeypatch.setenv("KAPTION_MODELS", "demo")
    change_weights(folder, lambda weights: weights.pop(next(iter(weights))))
    monkeypatch.setenv("KAPTION_RECAPTION__TRANSFORMERS__MODEL", str(folder))
    # When doctor looks at the models
    ended = CliRunner().invoke(app, ["doctor", "--no-servers"])
    # Then the scorer's line says what it made of images, and the captioner's what is missing
    assert ended.exit_code == 1
    scorer, captioners, _ = ended.output.splitlines()
    assert "told the colour of" in scorer
    assert "1 of its weights are missing from its files" in captioners


def test_a_wrong_name_of_a_plug_in_is_told_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given settings that name a scorer, a captioner and a check that are not there
    monkeypatch.setenv("KAPTION_CLIP__SCORER", "clap")
    monkeypatch.setenv("KAPTION_RECAPTION__CAPTIONERS", '["rules", "own:Missing"]')
    monkeypatch.setenv("KAPTION_SELECT__CHECKS", '["all", "lenght"]')
    # When doctor looks at them
    ended = CliRunner().invoke(app, ["doctor", "--no-servers"])
    # Then each has a line that says what to write, or what to install
    assert ended.exit_code == 1
    scorer, captioners, checks = ended.output.splitlines()
    assert "no scorer 'clap': in clip.scorer write one of open_clip, or your own" in scorer
    assert "'own:Missing' cannot be imported: No module named 'own'" in captioners
    assert "no check 'lenght': in select.checks write one of all, language, leakage" in checks
