"""What there still is of pairs that are taken down."""

from __future__ import annotations

from schemas.limits import Sha256
from schemas.record import Record
from workers.stores.footprint import Footprint


class Remains(Record):
    """All that is to be removed, in the order in which it is."""

    pairs: tuple[tuple[int, str], ...] = ()
    """In pairs.clean: partition and pair_id of those whose newest message has a value."""
    blobs: tuple[Sha256, ...] = ()
    """Stored pictures, and what crawlers delivered, unless another pair needs them."""
    footprints: tuple[Footprint, ...] = ()
    """Of pairs, in Redis."""
