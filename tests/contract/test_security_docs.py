"""docs/security.md: its settings are accepted, its commands run."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kaption.workers.cli.acls import grants
from kaption.workers.cli.app import app
from kaption.workers.settings import load_settings

TEXT = (Path(__file__).parents[2] / "docs" / "security.md").read_text("utf-8")
EXAMPLES = re.findall(r"```env\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"^    kaption (.*?)(?:  +#.*)?$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_accepted(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = dict(line.split("=", 1) for line in example.splitlines())
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    for name in given:
        section, field = name.removeprefix("KAPTION_").lower().split("__")
        assert getattr(getattr(settings, section), field) is not None


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs(command: str) -> None:
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == 0, done.output
    assert "pairs.ingested" in done.output


def test_all_that_have_rights_are_named() -> None:
    assert [name for name in grants("") if f"`{name}`" not in TEXT] == []
