"""Each `noqa` and `type: ignore` has its reason on the same line."""

import re
import tokenize
import tomllib
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IGNORE = re.compile(r"\b(noqa|type: *ignore)\b")
REASONED = re.compile(
    r"\b(noqa: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*|type: ignore\[[a-z, -]+\]) +(- |# ?|\()\w"
)


def without_reason(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(StringIO(source).readline):
        comment = token.string if token.type == tokenize.COMMENT else ""
        if IGNORE.search(comment) and not REASONED.search(comment):
            yield token.start[0], comment


def test_every_ignore_has_a_reason() -> None:
    checked = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]["files"]
    folders = [ROOT / name for name in checked]
    # rglob does not follow links, of which the package consists.
    folders += [link.resolve() for link in (ROOT / "kaption").iterdir() if link.is_symlink()]
    paths = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    assert ROOT / "workers" / "settings.py" in paths

    found = [(str(p), *it) for p in paths for it in without_reason(p.read_text("utf-8"))]

    assert found == []


@pytest.mark.parametrize(
    "comment",
    ["# noqa", "# noqa: S101", "# noqa: S101, E501  #", "# type: ignore", "# type: ignore[misc]"],
)
def test_an_ignore_without_a_reason_is_found(comment: str) -> None:
    assert list(without_reason(f"x = 1  {comment}\n")) == [(1, comment)]
