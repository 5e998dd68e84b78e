"""What cleaning did to an alt text: the closed list behind `IngestedPair.text_notes`."""

from __future__ import annotations

from enum import StrEnum


class Note(StrEnum):
    """One thing that was repaired, removed or found; each is a counter."""

    ENCODING = "encoding"
    """Mojibake, ligatures or composed characters were repaired."""
    HTML = "html"
    """Tags, comments or character references."""
    INVISIBLE = "invisible"
    """Control, zero-width, bidirectional, private-use or replacement characters."""
    LINK = "link"
    """URLs or e-mail addresses."""
    FILE_NAME = "file_name"
    BOILERPLATE = "boilerplate"
    SLANG = "slang"
    """Slang or a typo was replaced."""
    CUT = "cut"
    """Longer than `TextPolicy.max_chars`."""
    UNREADABLE = "unreadable"
    """Encoded over and over: given up and emptied."""
    EMPTY = "empty"
    """Nothing usable is left."""
    REPEATED = "repeated"
    """On more images than `DedupPolicy.text_uses`: emptied."""
