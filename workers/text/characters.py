"""Removes invisible characters, which change what a tokenizer sees but not what a reader sees."""

from __future__ import annotations

import re

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
# of such scripts.
_STRAY_JOINER = re.compile(
    r"(?<![\u0300-\U0010ffff])[\u200c\u200d]+|[\u200c\u200d]+(?![\u0300-\U0010ffff])"
)
_SPACE = re.compile(r"\s+")


def strip_invisible(text: str) -> str:
    """Remove control, zero-width, bidirectional, private-use and replacement characters."""
    return _STRAY_JOINER.sub("", _INVISIBLE.sub("", text))


def single_spaces(text: str) -> str:
    """Replace white space of any kind, line breaks included, by single spaces; none at the ends."""
    return _SPACE.sub(" ", text).strip()
