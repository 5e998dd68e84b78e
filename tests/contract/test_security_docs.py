"""docs/security.md: its settings are accepted, its commands run."""

from typing import get_args

import pytest
from pydantic import BaseModel, SecretStr
from typer.testing import CliRunner

from kaption.workers.cli.acls import grants
from kaption.workers.cli.app import app
from kaption.workers.settings import load_settings
from support.documents import ROOT, Command, blocks, commands, inline_code

GUIDE = ROOT / "docs" / "security.md"
EXAMPLES = [each.text for each in blocks(GUIDE) if each.language == "env"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_accepted(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = dict(line.split("=", 1) for line in example.splitlines())
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    for name in given:
        section, field = name.removeprefix("KAPTION_").lower().split("__")
        assert getattr(getattr(settings, section), field) is not None


@pytest.mark.parametrize("command", list(commands(GUIDE)), ids=str)
def test_a_command_runs(command: Command) -> None:
    done = CliRunner().invoke(app, list(command.words[1:]))
    assert done.exit_code == 0, done.output
    assert "pairs.ingested" in done.output


def test_all_that_have_rights_are_named() -> None:
    assert [name for name in grants("") if name not in inline_code(GUIDE)] == []


def test_all_secrets_are_named() -> None:
    secrets = {
        f"{section}.{name}"
        for section, policy in load_settings()
        if isinstance(policy, BaseModel)
        for name, field in type(policy).model_fields.items()
        if SecretStr in (field.annotation, *get_args(field.annotation))
    }

    assert len(secrets) > 4
    assert secrets <= set(inline_code(GUIDE))
