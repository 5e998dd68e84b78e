"""The house rules of CONTRIBUTING.md that can be counted."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = (
    *("connections", "consumers", "objectstore", "producers", "schemas", "testing", "workers"),
    *("bench", "deploy", "examples", "kaption", "tools"),
)
LINES = 400
PARAMETERS = 6


def files() -> list[Path]:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert len(found) > 400
    return found


def constructors(tree: ast.AST) -> Iterator[tuple[ast.ClassDef, ast.arguments]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for each in node.body:
                if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                    yield node, each.args


def is_source(made: ast.ClassDef) -> bool:
    return any("Source" in ast.unparse(base) for base in made.bases)


def test_a_file_is_short_enough_to_read() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files()}

    assert {path: lines for path, lines in lengths.items() if lines > LINES} == {}


def test_constructors_with_many_parameters_take_an_options_object() -> None:
    # The keywords of a source are the options that `kaption produce -o` gives.
    found = {
        f"{path.relative_to(ROOT)}: {made.name}": len(taken)
        for path in files()
        for made, args in constructors(ast.parse(path.read_text(encoding="utf-8")))
        if len(taken := [*args.posonlyargs, *args.args, *args.kwonlyargs][1:]) > PARAMETERS
        and not is_source(made)
    }

    assert found == {}
