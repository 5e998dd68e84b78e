"""Pairs that are taken down, refused."""

from __future__ import annotations

from collections.abc import Sequence

from schemas import CleanPair, IngestedPair, RawPair, Reason
from workers.runtime.stage import Reject
from workers.stores.takedowns import TakedownList


def taken_down(
    takedowns: TakedownList, pairs: Sequence[RawPair | IngestedPair | CleanPair]
) -> dict[int, Reject]:
    """Place in the batch to rejection. Raises Retry, Fatal."""
    return {
        at: Reject(Reason.TAKEN_DOWN, f"takedown {takedown_id}")
        for at, takedown_id in enumerate(takedowns.covering(pairs))
        if takedown_id is not None
    }
