"""The object store as training uses it: opened in the process that reads, waited for when down."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import stamina

from kaption.connections.errors import Retry

PATIENCE_S = 300.0
"""How long a store may be away before the stream ends with its error."""

T = TypeVar("T")


def patiently(call: Callable[[], T]) -> T:
    """The call's answer; while it raises Retry it is made again, for `PATIENCE_S`."""
    for attempt in stamina.retry_context(on=Retry, attempts=None, timeout=PATIENCE_S):
        with attempt:
            return call()
    raise AssertionError("stamina ends by returning or raising")
