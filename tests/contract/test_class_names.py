"""A class name means one thing: no two classes share one, in the wheel and beside it."""

import ast
from collections import defaultdict
from pathlib import Path

FOLDERS = (
    *("connections", "consumers", "objectstore", "producers", "schemas", "testing", "workers"),
    *("bench", "deploy", "examples", "tools"),
)
ROOT = Path(__file__).parents[2]


def test_no_two_classes_share_a_name() -> None:
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(str(path.relative_to(ROOT)))

    assert {name: files for name, files in homes.items() if len(files) > 1} == {}
