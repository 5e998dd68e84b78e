"""Links in the documents lead somewhere, and the code that they name exists."""

import re
from pathlib import Path

import pytest

from kaption.schemas import Takedown
from support.documents import (
    DOCUMENTS,
    ROOT,
    anchor_of,
    anchors,
    each_document,
    inline_code,
    links,
    name_of,
    prose,
)
from support.metrics_in_use import exported

ENTRY_POINTS = {
    f"kaption.{name}"
    for path in [*ROOT.glob("workers/plugins.py"), *ROOT.glob("producers/**/registry.py")]
    for name in re.findall(r'"kaption\.([a-z]+)"', path.read_text("utf-8"))
}
ALERTS = ROOT / "deploy" / "helm" / "kaption" / "files" / "alerts.yaml"


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
    has_contents = re.search(r"^- \[[^\]]+\]\(#", text, re.MULTILINE) is not None
    linked = re.findall(r"\]\(#([^)]+)\)", text)
    sections = [anchor_of(each) for each in re.findall(r"^## (.*)$", text, re.MULTILINE)]

    assert not has_contents or {*sections} - {"contents"} <= {*linked}


@each_document
def test_modules_and_files_that_are_named_exist(document: Path) -> None:
    for code in inline_code(document):
        if re.fullmatch(r"kaption(\.[a-z_]+)+(\.\w+)?", code):
            assert module_or_name_exists(code), code
        if re.fullmatch(r"(?:[a-z_]+/)+(?:[\w.-]+\.(?:py|md|toml|ya?ml|json|mjs|lua))?", code):
            assert (ROOT / code).exists() or code.startswith("dataset/") or is_example(code), code


def module_or_name_exists(dotted: str) -> bool:
    """Whether it is a module of ours, something in one, or a group of entry points."""
    if dotted in ENTRY_POINTS:
        return True
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


def test_the_field_of_takedowns_of_images_is_the_contracts() -> None:
    text = prose(ROOT / "docs" / "takedown.md")

    (field,) = set(re.findall(r"`(\w+_of)`", text))
    assert field in Takedown.model_fields


@pytest.mark.parametrize("name", ["kaption.schemas.pear", "kaption.schemas.topics.CLEEN"])
def test_a_module_or_name_that_does_not_exist_is_seen(name: str) -> None:
    assert not module_or_name_exists(name)
