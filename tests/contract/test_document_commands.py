"""The commands in the documents exist, with the options that they are given."""

import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from kaption.schemas import TOPICS, RawPair
from kaption.workers.cli.app import app
from support.command_line import parse
from support.documents import (
    DOCUMENTS,
    ROOT,
    Command,
    commands,
    each_document,
    inline_code,
    is_setting,
)

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]
TARGETS = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
COMMANDS = [each for document in DOCUMENTS for each in commands(document)]


def parse_loosely(arguments: Sequence[str]) -> None:
    """Read a command as `kaption` does, but let arguments be left out."""
    if list(arguments) in [[group.name] for group in app.registered_groups]:
        return
    try:
        parse(list(arguments))
    except typer.BadParameter as error:
        if "Missing parameter" not in str(error):
            raise


def _kaption(command: Command) -> None:
    parse(list(command.words[1:]))


def _make(command: Command) -> None:
    for word in command.words[1:]:
        assert "=" in word or word in TARGETS


def _pip(command: Command) -> None:
    assert command.words[1] == "install"
    for extras in re.findall(r"\.\[([\w,]+)\]", " ".join(command.words)):
        assert set(extras.split(",")) <= set(EXTRAS)


def _docker(command: Command) -> None:
    words = list(command.words[1:])
    if words[0] == "build":
        return  # tests/contract/test_kubernetes_docs.py
    assert words.pop(0) == "compose"
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    profiles = {name for each in services.values() for name in each.get("profiles", ())}
    while words:
        match words.pop(0):
            case "--profile":
                assert words.pop(0) in profiles
            case "--scale":
                assert words.pop(0).partition("=")[0] in services
            case "run":
                assert words.pop(0) == "--rm"
                assert words.pop(0) in services
                parse(words)
                words = []
            case other:
                assert other in ("up", "--build")


def _script(command: Command) -> None:
    """A script of the repository; its options are in its source."""
    path, *arguments = (each for each in command.words[1:] if each != "runspider")
    source = (ROOT / path).read_text("utf-8")
    if command.words[0] == "python":
        options = [each for each in arguments if each.startswith("--")]
        assert [each for each in options if f'"{each}"' not in source] == []


def _kubectl(command: Command) -> None:
    """tests/contract/test_kubernetes_docs.py tries the words before `--`."""
    if "--" in command.words:
        inside = command.words[command.words.index("--") + 1 :]
        if inside[0] == "kaption":
            parse(list(inside[1:]))


def _curl(command: Command) -> None:
    (url,) = command.words[1:]
    assert re.fullmatch(r"http://127\.0\.0\.1:8080/(healthz|readyz|metrics)", url)


def _echo(command: Command) -> None:
    key, _, value = command.words[1].partition("\t")
    assert RawPair.model_validate_json(value).pair_id == key


def _kcat(command: Command) -> None:
    assert command.words[command.words.index("-t") + 1] in {topic.name for topic in TOPICS}


def _tool(command: Command) -> None:
    """A script of the repository, or a program of .venv; the paths it is given exist."""
    program = command.words[0]
    in_venv = program.removeprefix(".venv/bin/") in ("pytest", "ruff", "mypy", "python")
    assert in_venv or ("/" in program and (ROOT / program).exists())
    for word in command.words[1:]:
        if "/" in word:
            assert (ROOT / word.partition("::")[0]).exists()


def _elsewhere(command: Command) -> None:
    """Programs that need no check here: helm is tried in tests/contract/test_kubernetes_docs.py,
    valkey-cli in tests/integration/test_disasters.py, Kafka's programs in its neighbour
    test_alert_runbooks.py.
    """


CHECKS: dict[str, Callable[[Command], None]] = {
    "kaption": _kaption,
    "make": _make,
    "pip": _pip,
    "docker": _docker,
    "python": _script,
    "node": _script,
    "scrapy": _script,
    "kubectl": _kubectl,
    "curl": _curl,
    "echo": _echo,
    "kcat": _kcat,
    "helm": _elsewhere,
    "valkey-cli": _elsewhere,
    "kafka-configs.sh": _elsewhere,
    "kafka-transactions.sh": _elsewhere,
    "tar": _elsewhere,
    "git": _elsewhere,
    "cd": _elsewhere,
}


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_is_one_that_exists_with_these_options(command: Command) -> None:
    for name in command.variables:
        if name.startswith("KAPTION_"):
            assert is_setting(name)
    if command.words:
        program = command.words[0]
        CHECKS.get(program, _tool)(command)


@each_document
def test_commands_in_the_prose_exist(document: Path) -> None:
    for code in inline_code(document):
        match = re.fullmatch(r"(kaption|make) ([a-z][^`]*)", code)
        if match is None:
            continue
        words = match[2].split()
        if match[1] == "make":
            assert words[0] in TARGETS, code
        else:
            parse_loosely(words)


def options_of(command: Any) -> set[str]:
    """Every option of a command, and of the commands below it."""
    own = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    return own.union(*map(options_of, getattr(command, "commands", {}).values()))


@each_document
def test_options_in_the_prose_exist(document: Path) -> None:
    known = options_of(typer.main.get_command(app))

    named = {code.split()[0] for code in inline_code(document) if code.startswith("--")}
    assert named <= known


@each_document
def test_extras_in_the_prose_exist(document: Path) -> None:
    for code in inline_code(document):
        for extras in re.findall(r"'\.\[([\w,]+)\]'", code):
            assert set(extras.split(",")) <= set(EXTRAS)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["run", "pairs.jsonl"], "Missing parameter"),
        (["status", "--intervall", "3"], "No such option"),
        (["conusme", "out"], "conusme"),
        (["topics", "chekc"], "chekc"),
    ],
)
def test_a_wrong_command_is_seen(words: list[str], why: str) -> None:
    with pytest.raises(Exception, match=why):
        parse(words)
