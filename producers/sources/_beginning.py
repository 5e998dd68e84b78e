"""Refuses a source whose first records all lack an image or a text, before anything is published.

Without this each record would become a dead letter: a misspelt folder would cost the whole source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from kaption.producers.errors import SourceError
from kaption.producers.sources.source import Found, Item, Unreadable
from kaption.schemas import RawPair
from kaption.schemas.address import is_web
from kaption.schemas.limits import RAW_BYTES

_FIRST_RECORDS = 1_000
"""With 20 records a data set whose first files were deleted would be refused."""
_FIRST_BYTES = 4 * RAW_BYTES
"""Records are held in memory up to this size and one record."""
_SHOWN_CHARS = 500
_FILE = re.compile(r"[/\\.]|\A\d+\Z")
"""In the name of a file, and in the number of one. Ingest judges any other address."""


def begun(
    found: Iterator[Found],
    refuse: Callable[[Sequence[Found]], None],
    most: int = _FIRST_RECORDS,
) -> Iterator[Found]:
    """The same records. `refuse` gets those that lack something if none of the first is whole.

    The first are `most` records, or fewer large ones. A damaged record lacks nothing: it tells
    nothing about the others.
    """
    first: list[Found] = []
    size, whole = 0, False
    for each in found:
        first.append(each)
        unreadable = isinstance(each.item, Unreadable)
        whole = not unreadable and lack(each.item) is None
        size += len(each.item.raw) if isinstance(each.item, Unreadable) else 0
        if whole or len(first) == most or size >= _FIRST_BYTES:
            break
    if not whole and (lacking := [each for each in first if lack(each.item)]):
        refuse(lacking)
    yield from first
    yield from found


def lack(item: Item) -> str | None:
    """What is wrong with the image or the text of a record that could be read; else None."""
    if isinstance(item, Unreadable):
        return item.error if item.incomplete else None
    url = item.image.url if isinstance(item, RawPair) else None
    if url is None or is_web(url) or not _FILE.search(url):
        return None
    return f"image {url[:100]!r} is not a URL"


def refusal(location: object, lacking: Sequence[Found], advice: str) -> SourceError:
    """The error with the first of the records, and what to do."""
    first = lacking[0]
    return SourceError(
        f"none of the first {len(lacking)} records of {location} has both an image and a text. "
        f"{first.place}: {str(lack(first.item))[:_SHOWN_CHARS]}; {advice}"
    )
