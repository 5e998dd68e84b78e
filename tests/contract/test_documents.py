"""What README, CONTRIBUTING, CHANGELOG and docs/ name exists: links, commands, settings, files."""

import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import BaseModel

from contract.test_imports import BASICS, FLOORS, INTERFACES, MAY_IMPORT
from kaption.schemas import TOPICS, RawPair, Reason, Takedown
from kaption.workers.cli.app import app
from kaption.workers.settings import Settings, load_settings
from kaption.workers.wiring import OUTPUTS, STAGES
from support.command_line import parse
from support.documents import (
    DOCUMENTS,
    ROOT,
    Command,
    anchors,
    blocks,
    commands,
    inline_code,
    links,
    name_of,
    prose,
)
from support.metrics_in_use import exported

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]
TARGETS = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
COMMANDS = [each for document in DOCUMENTS for each in commands(document)]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
OUTPUT = ROOT / "docs" / "output.md"
ALERTS = ROOT / "deploy" / "helm" / "kaption" / "files" / "alerts.yaml"
SCRAPY_VARIABLES = {"KAPTION_KAFKA", "KAPTION_PUBLISHER", "KAPTION_SOURCE"}

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)


# Links


@each_document
def test_links_lead_to_files_and_headings_that_exist(document: Path) -> None:
    for link in links(document):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_each_document_is_linked_from_the_readme_or_another_document() -> None:
    linked = {
        (document.parent / link.partition("#")[0]).resolve()
        for document in DOCUMENTS
        for link in links(document)
    }

    assert [name_of(each) for each in DOCUMENTS if each not in linked] == ["README.md"]


@each_document
def test_a_list_of_contents_names_every_section(document: Path) -> None:
    text = prose(document)
    listed = re.findall(r"^- \[([^\]]+)\]\(#[^)]+\)$", text, re.MULTILINE)
    sections = re.findall(r"^## (.*)$", text, re.MULTILINE)

    assert not listed or listed == [each for each in sections if each != "Contents"]


# Commands


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
    """Programs that need no check here: helm is tried in tests/contract/test_kubernetes_docs.py."""


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

    named = {code.split()[0] for code in inline_code(document) if code.startswith("-")}
    assert named <= known


@each_document
def test_extras_in_the_prose_exist(document: Path) -> None:
    for code in inline_code(document):
        for extras in re.findall(r"'\.\[([\w,]+)\]'", code):
            assert set(extras.split(",")) <= set(EXTRAS)


# Settings


def fields_of(model: type[BaseModel], prefix: str = "") -> set[str]:
    """The dotted names of all settings, and of their sections."""
    names = set()
    for name, field in model.model_fields.items():
        names.add(prefix + name)
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names |= fields_of(kind, f"{prefix}{name}.")
    return names


SETTINGS = fields_of(Settings)
SECTIONS = "|".join(Settings.model_fields)


def is_setting(variable: str) -> bool:
    """Whether an environment variable sets a setting, or names the file of settings."""
    dotted = variable.removeprefix("KAPTION_").lower().replace("__", ".")
    return variable in {"KAPTION_CONFIG", *SCRAPY_VARIABLES} or dotted in SETTINGS


@each_document
def test_settings_that_are_named_exist(document: Path) -> None:
    for code in inline_code(document):
        for name in re.findall(rf"(?<![\w./])((?:{SECTIONS})\.[a-z_]+(?:\.[a-z_]+)*)", code):
            assert name in SETTINGS or (ROOT / name).exists(), code
    for variable in re.findall(r"\bKAPTION_[A-Z_]+[A-Z]\b", document.read_text("utf-8")):
        assert is_setting(variable), variable


def test_files_of_settings_are_accepted(tmp_path: Path) -> None:
    files = [each for document in DOCUMENTS for each in blocks(document) if each.language == "toml"]
    assert files
    for block in files:
        path = tmp_path / "kaption.toml"
        path.write_text(block.text, "utf-8")
        load_settings(path)


# Names of code


@each_document
def test_modules_and_files_that_are_named_exist(document: Path) -> None:
    for code in inline_code(document):
        if re.fullmatch(r"kaption(\.[a-z_]+)+(\.\w+)?", code):
            assert module_or_name_exists(code), code
        if re.fullmatch(r"(?:[a-z_]+/)+(?:[\w.-]+\.(?:py|md|toml|ya?ml|json|mjs|lua))?", code):
            assert (ROOT / code).exists() or code.startswith("dataset/") or is_example(code), code


def module_or_name_exists(dotted: str) -> bool:
    """Whether it is a module of ours, or something that a module defines or imports."""
    path, *rest = dotted.split(".")
    while rest and (ROOT / path / rest[0]).is_dir():
        path = f"{path}/{rest.pop(0)}"
    if not rest:
        return True
    if (ROOT / path / f"{rest[0]}.py").exists():
        path, rest = f"{path}/{rest[0]}.py", rest[1:]
    else:
        path = f"{path}/__init__.py"
    source = (ROOT / path).read_text("utf-8")
    return not rest or re.search(rf"\b{rest[0]}\b", source) is not None


def is_example(path: str) -> bool:
    """A folder of the user's own, as in the examples of commands."""
    return path in {"out/", "out2/", "store/dataset/"}


@each_document
def test_metrics_and_alerts_that_are_named_exist(document: Path) -> None:
    alerts = re.findall(r"alert: (\w+)", ALERTS.read_text("utf-8"))
    for code in inline_code(document):
        if re.fullmatch(r"Kaption[A-Z]\w+", code):
            assert code in [*alerts, "KaptionPipeline"]
        if re.fullmatch(r"kaption_[a-z_]+_(total|records|seconds|bytes)", code):
            assert code in exported() or f"{code}_count" in exported()


# Tables


def rows(document: Path, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its first two lines."""
    _, _, below = document.read_text("utf-8").partition(f"\n## {heading}\n")
    table = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert table is not None
    return [
        [cell.strip() for cell in line.strip("| ").split(" | ")]
        for line in table[0].splitlines()[2:]
    ]


def codes(cell: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def test_the_table_of_topics_is_the_contract() -> None:
    kept = {-1: "for ever"} | {days * 24 * 3600 * 1000: f"{days} days" for days in (7, 30, 90)}

    told = [
        (*codes(name), *codes(record), days) for name, record, _, days in rows(OUTPUT, "Topics")
    ]

    assert told == [(each.name, each.record.__name__, kept[each.retention_ms]) for each in TOPICS]


def test_every_reason_for_rejection_is_explained() -> None:
    told = [codes(reason)[0] for reason, _ in rows(OUTPUT, "Reasons for rejection")]

    assert told == [each.value for each in Reason]


def test_the_table_of_stages_is_the_flow() -> None:
    told = {
        codes(name)[0]: (codes(reads), codes(writes))
        for name, reads, writes, *_ in rows(ARCHITECTURE, "The flow")
    }

    assert told == {
        name: ([each.name for each in inputs], [each.name for each in OUTPUTS[name]])
        for name, inputs in STAGES.items()
    }


def test_the_table_of_imports_is_the_one_that_is_enforced() -> None:
    shorthand = {
        "the floors": FLOORS,
        "the basics": BASICS,
        "the interfaces": INTERFACES,
        "everything": ("kaption",),
        "nothing": (),
    }
    told = {}
    for package, may, _ in rows(ARCHITECTURE, "What each folder may import"):
        names = [f"kaption.{name}" for name in codes(may)]
        words = re.sub(r"`[^`]+`", "", may).strip(", ")
        named = [each.strip() for each in words.split(",") if each.strip()]
        allowed = {*names, *(name for each in named for name in shorthand[each])}
        told[f"kaption.{codes(package)[0]}"] = allowed

    enforced = {name: set(may) for name, may in MAY_IMPORT.items() if name != "kaption"}
    assert told == enforced


def test_every_folder_has_its_line() -> None:
    told = {
        name.rstrip("/")
        for folders, _ in rows(ARCHITECTURE, "Where a line of code lives")
        for name in codes(folders)
    }
    ignored = {"__pycache__", "build", "dist", "json"}
    packages = [each for each in (ROOT / "kaption").iterdir() if each.is_dir()]
    for package in packages:
        inner = {each.name for each in package.iterdir() if each.is_dir()} - ignored
        # A folder that only holds others needs no line of its own.
        assert package.name in told | ignored or inner
        assert {f"{package.name}/{name}" for name in inner} <= told
    assert [name for name in told if not (ROOT / name).is_dir()] == []


def test_the_field_of_takedowns_of_images_is_the_contracts() -> None:
    text = prose(ROOT / "docs" / "takedown.md")

    (field,) = set(re.findall(r"`(\w+_of)`", text))
    assert field in Takedown.model_fields


def test_every_command_of_kaption_has_a_line() -> None:
    told = [codes(name)[0] for name, _ in rows(ROOT / "docs" / "operating.md", "Commands")]

    names = {each.name for each in app.registered_commands} | {
        each.name for each in app.registered_groups
    }
    assert {each.removeprefix("kaption ") for each in told} == names


# The checks themselves


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


@pytest.mark.parametrize("name", ["KAPTION_CLIP__MODLE", "KAPTION_CLIPS", "KAPTION_SINK__A__B"])
def test_a_setting_that_does_not_exist_is_seen(name: str) -> None:
    assert not is_setting(name)


@pytest.mark.parametrize("name", ["kaption.schemas.pear", "kaption.schemas.topics.CLEEN"])
def test_a_module_or_name_that_does_not_exist_is_seen(name: str) -> None:
    assert not module_or_name_exists(name)
