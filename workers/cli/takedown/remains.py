"""What there still is of pairs that are taken down."""

from __future__ import annotations

from schemas import Takedown
from schemas.limits import Sha256
from schemas.record import Record
from workers.stores.footprint import Footprint


class Remains(Record):
    """All that is to be refused, then removed, in this order."""

    pictures: tuple[Takedown, ...] = ()
    """By sha256, of those below that were found by something else: nothing refused them yet."""
    pairs: tuple[tuple[int, str], ...] = ()
    """In pairs.clean: partition and pair_id of those whose newest message has a value."""
    blobs: tuple[Sha256, ...] = ()
    """Stored pictures, and what crawlers delivered, unless another pair needs them."""
    footprints: tuple[Footprint, ...] = ()
    """Of pairs, in Redis."""
