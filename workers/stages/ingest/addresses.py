"""Tries the addresses of an image, each in the lane of its server."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from kaption.schemas import ImageSource, Position, RawPair, Reason
from kaption.workers.fetch.target import server_of
from kaption.workers.runtime.stage import Incoming, Later, Reject

T = TypeVar("T")  # what an address gives

_TRY_NEXT = frozenset(
    {
        Reason.FETCH_STATUS,
        Reason.FETCH_DENIED,
        Reason.FETCH_FAILED,
        Reason.FETCH_TIMEOUT,
        Reason.TOO_LARGE,
        Reason.NOT_AN_IMAGE,
        Reason.FORMAT_REFUSED,
        Reason.TRUNCATED,
        Reason.TOO_MANY_PIXELS,
        Reason.DECODE_TIMEOUT,
        Reason.DECODE_FAILED,
        Reason.TOO_SMALL,
        Reason.SINGLE_COLOUR,
    }
)
"""After these the next address is tried. An opt-out holds for all addresses of an image."""
_POSTPONED = 10_000
"""Postponed records whose tried addresses are remembered. An older record begins anew."""


class Addresses:
    """Remembers which addresses of a postponed record were tried. Any thread may call it."""

    def __init__(self) -> None:
        self._refused: OrderedDict[Position, list[Reject]] = OrderedDict()
        self._lock = threading.Lock()

    def first(self, message: Incoming[RawPair], get: Callable[[RawPair, ImageSource], T]) -> T:
        """What `get` makes of the record's first address that it does not reject.

        When it rejects all, raises the Reject of the first one. Raises Later before another server
        is asked, so that the record waits in that server's lane.
        """
        with self._lock:
            refused = self._refused.pop(message.position, [])
        try:
            return _first(message.record, refused, get)
        except Later:
            with self._lock:
                self._refused[message.position] = refused
                if len(self._refused) > _POSTPONED:
                    self._refused.popitem(last=False)
            raise


def _first(record: RawPair, refused: list[Reject], get: Callable[[RawPair, ImageSource], T]) -> T:
    """`refused` are the rejections of the addresses that were tried; others are added."""
    sources = [record.image, *(ImageSource(url=url) for url in record.image.alternatives)]
    lanes = [server_of(source.url or "") for source in sources]
    held = lanes[len(refused)]
    for at in range(len(refused), len(sources)):
        silent = [
            one
            for lane, one in zip(lanes, refused, strict=False)
            if lane == lanes[at] and one.reason is Reason.FETCH_TIMEOUT
        ]
        if silent:  # it would be as silent at its other addresses
            refused += silent[:1]
            continue
        if lanes[at] != held:
            raise Later(str(refused[-1]), 0.0, lanes[at])
        try:
            return get(record, sources[at])
        except Reject as reject:
            if reject.reason not in _TRY_NEXT:
                raise
            refused.append(reject)
    raise refused[0]
