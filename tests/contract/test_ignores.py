"""Whatever a linter or type checker is told to ignore comes with its reason, on the same line."""

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


def test_every_ignore_has_its_reason() -> None:
    checked = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]["files"]
    # rglob does not go through links: kaption/ links to the folders at the top.
    linked = [link for link in (ROOT / "kaption").iterdir() if link.is_symlink()]
    folders = [*(ROOT / folder for folder in checked), *linked]
    paths = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    assert len(paths) > 500

    found = [(str(p), *it) for p in paths for it in without_reason(p.read_text("utf-8"))]

    assert found == []


@pytest.mark.parametrize(
    "comment",
    ["# noqa", "# noqa: S101", "# noqa: S101, E501  #", "# type: ignore", "# type: ignore[misc]"],
)
def test_an_ignore_without_reason_is_seen(comment: str) -> None:
    assert list(without_reason(f"x = 1  {comment}\n")) == [(1, comment)]
