"""Removes invisible characters, which change what a tokenizer sees but not what a reader sees."""

from __future__ import annotations

import re
import unicodedata
from itertools import zip_longest

# Colours of a terminal; the second form is what is left of one whose escape character is gone.
_TERMINAL = re.compile(
    r"(?:\x1b\[|\x9b|\u241b\[)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]{0,500}(?:\x07|\x1b\\)"
    r"|\x1b[()*+][0-9A-Z]|\^\[\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[@-Z\\^_=>78]|\[(?:0|[1-9]\d?|38;5;\d+|48;5;\d+)(?:;\d{1,3})*m(?!\])"
)
_VARIATION = re.compile("([^\ufe00-\ufe0f]?)([\ufe00-\ufe0f]+)(\u20e3?)")
_KEYCAPS = frozenset("#*0123456789")
_SYMBOLS = frozenset("\u203c\u2049\u3030\u303d")
_ACCENTS = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_PILE = re.compile(f"(.)[{_ACCENTS}]{{3,}}")
"""Letters of no language carry three accents that are left after composition."""
_REPEATED = re.compile(
    "([\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0dff\u0e31-\u0ecd])\\1{2,}"
)

# The flags of England, Scotland and Wales are written with tags. Any other tags are hidden text.
_FLAG = re.compile(
    "\U0001f3f4(?:"
    + "|".join(
        "".join(chr(0xE0000 + ord(letter)) for letter in name)
        for name in ("gbeng", "gbsct", "gbwls")
    )
    + ")\U000e007f"
)
_STRUCK = re.compile("[\u0334-\u0338]")
"""Strokes through a letter."""
_INVISIBLE = re.compile(
    "["
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # C0 and C1 controls; the breaking ones are white space
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u3164\uffa0"  # soft hyphen, fillers
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"  # zero width, bidirectional
    "\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufff0-\uffff"  # surrogates, private, replacement
    "\U000e0000-\U000e0fff\U000f0000-\U0010ffff"  # tags (hidden messages), private planes
    "]+"
)
# Joiners carry meaning in Indic and Arabic scripts and in emoji: they stay between two characters
# of such scripts. One behind a virama makes another letter, also at the end of a word.
_STRAY_JOINER = re.compile(
    r"(?<![\u0300-\U0010ffff])[\u200c\u200d]+"
    r"|(?<![\u094d\u09cd\u0a4d\u0acd\u0b4d\u0c4d\u0ccd\u0d4d\u0dca])[\u200c\u200d]+(?![\u0300-\U0010ffff])"
)
_SPACE = re.compile(r"\s+")


def strip_invisible(text: str) -> str:
    """Remove control, zero-width, bidirectional, private-use and replacement characters.

    Terminal colours, variation selectors that select nothing, and piled-up accents go too.
    """
    text = _TERMINAL.sub("", text)
    flags = _FLAG.findall(text)
    parts = (_INVISIBLE.sub("", part) for part in _FLAG.split(text))
    text = "".join(part + flag for part, flag in zip_longest(parts, flags, fillvalue=""))
    text = _VARIATION.sub(_variant, text)
    text = _PILE.sub(lambda pile: unicodedata.normalize("NFD", pile[1])[0], text)
    return _STRUCK.sub("", _STRAY_JOINER.sub("", _REPEATED.sub(_once, text)))


def single_spaces(text: str) -> str:
    """Replace white space of any kind, line breaks included, by single spaces; none at the ends."""
    return _SPACE.sub(" ", text).strip()


def _variant(match: re.Match[str]) -> str:
    """One text or emoji selector behind a symbol stays."""
    before, selectors, keycap = match.groups()
    symbol = before and (unicodedata.category(before) in {"So", "Sm", "Sk"} or before in _SYMBOLS)
    if (symbol or (keycap and before in _KEYCAPS)) and selectors[0] in "\ufe0e\ufe0f":
        return before + selectors[0] + keycap
    return before + keycap


def _once(match: re.Match[str]) -> str:
    """One of a mark that is repeated; a letter of the same range, which is no mark, stays."""
    return match[1] if unicodedata.category(match[1]) == "Mn" else match[0]
