"""Cleans alt texts, by passes over one ordered list of small repairs, and detects languages."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING

from kaption.workers.policy.ingest import TextPolicy
from kaption.workers.text.boilerplate import strip_boilerplate
from kaption.workers.text.characters import single_spaces, strip_invisible
from kaption.workers.text.clauses import cut
from kaption.workers.text.codepages import plain_letters, reread, unescaped, without_lost_letters
from kaption.workers.text.file_names import strip_file_names
from kaption.workers.text.language import Detected, LanguageDetector
from kaption.workers.text.links import strip_links, tidy
from kaption.workers.text.markup import strip_markup
from kaption.workers.text.slang import replace_slang
from kaption.workers.text.templates import strip_templates

if TYPE_CHECKING:
    import ftfy

_PASSES = 12
"""Pages encode a text up to three times by mistake. A text that needs more passes than this is made
to cost time, and is emptied."""
_RUNS = re.compile(r"([!?])\1+|([*~=_#\u2605\u2606\u2665\u2764\u25ba\u25b6])\2+|\.{4,}")


class Note(StrEnum):
    """What cleaning found in an alt text or did to it: the values of `IngestedPair.text_notes`."""

    ENCODING = "encoding"
    """Broken encoding, escapes, ligatures or decomposed characters were repaired."""
    HTML = "html"
    """Tags, comments or character references were removed."""
    INVISIBLE = "invisible"
    """Control, zero-width, bidirectional, private-use or replacement characters were removed, or
    terminal colours, variation selectors and piled-up accents."""
    LINK = "link"
    """URLs or e-mail addresses were removed."""
    FILE_NAME = "file_name"
    """The name of a file was removed."""
    BOILERPLATE = "boilerplate"
    """Phrases that pages put around every image were removed."""
    TEMPLATE = "template"
    """What a template left in place of a value, such as "{{product.title}}", was removed."""
    SLANG = "slang"
    """Slang or a typo was replaced."""
    CUT = "cut"
    """The text was longer than `TextPolicy.max_chars` and was cut."""
    UNREADABLE = "unreadable"
    """The text was encoded more often than cleaning undoes, and was emptied."""
    EMPTY = "empty"
    """Nothing usable is left."""
    REPEATED = "repeated"
    """The text stands at more images than `DedupPolicy.text_uses`, and was emptied."""


@dataclass(frozen=True, slots=True)
class CleanText:
    """What is left of an alt text, and notes of what was done to it, in the order of `Note`."""

    text: str
    notes: tuple[Note, ...]
    detected: Detected | None = None
    """Its language, where `read_alt_text` is sure of it."""


def clean(text: str, policy: TextPolicy, language: str | None = None) -> CleanText:
    """Repair and strip an alt text; empty where nothing usable is left.

    Cleaning the result again changes nothing. `language` (BCP 47) picks the slang table. Raises
    nothing, whatever the text holds.
    """
    found: set[Note] = set()
    repairs = steps(policy, language)
    for _ in range(_PASSES):
        before = text
        for repair, note in repairs:
            changed = repair(text)
            if changed != text:
                found |= {note} if note else set()
                text = changed
        if text == before:
            break
    else:
        found.add(Note.UNREADABLE)
        text = ""
    if not text:
        found.add(Note.EMPTY)
    return CleanText(text, tuple(note for note in Note if note in found))


def read_alt_text(
    text: str, declared: str | None, policy: TextPolicy, languages: LanguageDetector
) -> CleanText:
    """Clean `text` and detect its language.

    A detected language wins over the `declared` one: pages often copy theirs from a template. The
    text is cleaned before detection, because markup and broken encoding mislead the detector. It is
    cleaned again where the detected language has another slang table.
    """
    cleaned = clean(text, policy, declared)
    detected = languages.detect(cleaned.text, declared)
    if detected is not None and (declared or "").split("-")[0].lower() != detected.tag:
        cleaned = clean(text, policy, detected.tag)
    return replace(cleaned, detected=detected)


def steps(
    policy: TextPolicy, language: str | None
) -> list[tuple[Callable[[str], str], Note | None]]:
    """The steps of one pass in their order, each with the note it leaves; None: not counted.

    Each is a pure function of the text. Escapes and markup go first, because they hide the rest; a
    step that looks at the whole text comes after invisible characters and white space.
    """
    return [
        (unescaped, Note.ENCODING),
        (strip_markup, Note.HTML),
        (_repair_encoding, Note.ENCODING),
        (strip_invisible, Note.INVISIBLE),
        (single_spaces, None),
        (strip_templates, Note.TEMPLATE),
        (single_spaces, None),
        (strip_file_names, Note.FILE_NAME),
        (strip_links, Note.LINK),
        (strip_boilerplate, Note.BOILERPLATE),
        (lambda text: replace_slang(text, language), Note.SLANG),
        (lambda text: single_spaces(tidy(_RUNS.sub(_one, text))), None),
        (lambda text: cut(text, policy.max_chars), Note.CUT),
    ]


@cache
def steps_id() -> str:
    """16 hex digits over the code and tables of this folder and the version of ftfy.

    Any edit of a step, of a table or of the order changes them: nobody has to raise a version.
    """
    digest = sha256(version("ftfy").encode())
    for file in sorted(files("kaption.workers.text").iterdir(), key=lambda file: file.name):
        if file.name.endswith((".py", ".toml")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _one(run: re.Match[str]) -> str:
    return run[1] or ("..." if run[0][0] == "." else " ")


def _repair_encoding(text: str) -> str:
    if text.isascii():
        return text
    import ftfy

    fixed: str = ftfy.fix_text(reread(text), _config())
    return without_lost_letters(plain_letters(fixed))


@cache
def _config() -> ftfy.TextFixerConfig:
    import ftfy

    return ftfy.TextFixerConfig(
        unescape_html=False,  # strip_markup does it together with the tags
        uncurl_quotes=False,  # curly quotes are correct
        fix_character_width=False,  # would turn Chinese punctuation into ASCII
        remove_control_chars=False,  # strip_invisible removes more, and leaves a note
        normalization="NFC",
        explain=False,
    )
