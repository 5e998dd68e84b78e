"""The README stays short and imports from the front door. test_documents.py checks the rest."""

import ast

import kaption
from support.documents import ROOT, blocks

README = ROOT / "README.md"


def test_it_is_at_most_130_lines_long() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 130


def test_its_python_imports_from_the_front_door_alone() -> None:
    code = [ast.parse(each.text) for each in blocks(README) if each.language == "python"]
    imports = [
        node
        for tree in code
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]

    assert {getattr(each, "module", None) for each in imports} == {"kaption"}
    assert {alias.name for each in imports for alias in each.names} <= set(kaption.__all__)
