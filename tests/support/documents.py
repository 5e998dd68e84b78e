"""The documents of the repository as tests see them: code blocks, commands, links, inline code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import BaseModel

from kaption.workers.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
)

each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda document: document.relative_to(ROOT).as_posix()
)
SCRAPY_VARIABLES = {"KAPTION_KAFKA", "KAPTION_PUBLISHER", "KAPTION_SOURCE"}
"""Settings of Scrapy and not of Kaption."""

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_INLINE = re.compile(r"`([^`\n]+)`")
_ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=")
_COMMENT = re.compile(r"(?:^|  +)# .*")


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A fenced block: its language, its text, and the line of the document where it begins."""

    document: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True, slots=True)
class Command:
    """One program with its arguments, and the variables that are set before it."""

    block: CodeBlock
    variables: dict[str, str]
    words: Sequence[str]

    def __str__(self) -> str:
        return f"{self.block}: {shlex.join(self.words)}"


def name_of(document: Path) -> str:
    """The document's path below the repository, for example ``docs/output.md``."""
    return document.relative_to(ROOT).as_posix()


def blocks(document: Path) -> list[CodeBlock]:
    """Every fenced block of the document."""
    text = document.read_text("utf-8")
    return [
        CodeBlock(document, text[: found.start()].count("\n") + 1, found[2], found[3])
        for found in _FENCE.finditer(text)
    ]


def prose(document: Path) -> str:
    """The document without its fenced blocks."""
    return _FENCE.sub("", document.read_text("utf-8"))


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub makes of the document's headings."""
    return {anchor_of(heading) for heading in _HEADING.findall(prose(document))}


def anchor_of(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(document: Path) -> list[str]:
    """The targets of all links."""
    return _LINK.findall(prose(document))


def inline_code(document: Path) -> list[str]:
    """What stands between single backticks."""
    return _INLINE.findall(prose(document))


def commands(document: Path) -> Iterator[Command]:
    """Every program that the document's shell blocks start, also behind a pipe."""
    for block in blocks(document):
        if block.language != "sh":
            continue
        text = re.sub(r"\\\n\s*", "", block.text)
        text = re.sub(r"\|\n\s*", "| ", text)
        for line in text.splitlines():
            yield from _programs(block, _COMMENT.sub("", line))


def _programs(block: CodeBlock, line: str) -> Iterator[Command]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|<>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in (*lexer, "|"):
        if word != "|":
            words.append(word)
            continue
        if any(mark in words for mark in "<>"):
            words = words[: next(at for at, word in enumerate(words) if word in "<>")]
        variables = {}
        while words and (_ASSIGNMENT.match(words[0]) or words[0] == "export"):
            name, _, value = words.pop(0).partition("=")
            if name != "export":
                variables[name] = value
        if words or variables:
            yield Command(block, variables, words)
        words = []


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
"""The dotted names of all settings and of their sections."""


def is_setting(variable: str) -> bool:
    """Whether an environment variable sets a setting, or names the file of settings."""
    dotted = variable.removeprefix("KAPTION_").lower().replace("__", ".")
    return variable in {"KAPTION_CONFIG", *SCRAPY_VARIABLES} or dotted in SETTINGS
