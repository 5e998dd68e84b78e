"""Street addresses with a postal code, as they are written in Great Britain, the USA and Canada."""

from __future__ import annotations

from collections.abc import Iterator

from kaption.workers.safety.personal.folded import Span

MARK = "[address]"
_COUNTRIES = ("US", "GB", "CA")
"""All that pyap knows. libpostal knows more and is no option: its data take 2 GB."""


def find(text: str) -> Iterator[Span]:
    """Where addresses are in a folded text."""
    if not any(map(str.isdigit, text)):
        return
    import pyap

    for country in _COUNTRIES:
        for found in pyap.parse(text, country=country):
            # Its offsets are those in a text that it has changed.
            if (start := text.find(found.full_address)) >= 0:
                yield start, start + len(found.full_address)
