"""The values of `IngestedPair.text_notes`: what cleaning found in an alt text or did to it."""

from __future__ import annotations

from enum import StrEnum


class Note(StrEnum):
    """One thing that was repaired, removed or found; each is counted."""

    ENCODING = "encoding"
    """Broken encoding, ligatures or decomposed characters were repaired."""
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
