"""The tables in the documents say what the code says."""

import re
from pathlib import Path

from kaption.schemas import TOPICS, Reason
from kaption.workers.captioners._shared import SharedPrefix
from kaption.workers.captioners.transformers import FAMILIES
from kaption.workers.cli.app import app
from kaption.workers.wiring import OUTPUTS, STAGES
from support.documents import ROOT
from support.import_rules import BASICS, FLOORS, INTERFACES, MAY_IMPORT

CAPTIONERS = ROOT / "docs" / "captioners.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
OPERATING = ROOT / "docs" / "operating.md"
OUTPUT = ROOT / "docs" / "output.md"


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


def test_the_table_of_families_is_what_the_captioner_knows() -> None:
    table = rows(CAPTIONERS, "Families")

    told = {name: sharing for cell, sharing, _ in table for name in codes(cell)}

    assert set(told) == set(FAMILIES)
    assert {name for name, sharing in told.items() if "read once" in sharing} == {
        name for name, family in FAMILIES.items() if family is SharedPrefix
    }
    assert all("encoded" in sharing for sharing in told.values())


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


def test_every_command_of_kaption_has_a_line() -> None:
    told = [codes(name)[0] for name, _ in rows(OPERATING, "Commands")]

    names = {each.name for each in app.registered_commands} | {
        each.name for each in app.registered_groups
    }
    assert {each.removeprefix("kaption ") for each in told} == names
