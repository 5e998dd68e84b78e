"""What a forked child must let go of: locks and sockets that belong to its parent."""

from __future__ import annotations

import os
import sys
from typing import Protocol
from weakref import WeakSet


class ForkAware(Protocol):
    """Holds something that only one process may have."""

    def let_go(self) -> None:
        """Called in the child, right after the fork; waits for nothing and takes no lock."""


_held: WeakSet[ForkAware] = WeakSet()


def let_go_after_fork(held: ForkAware) -> None:
    """Call `held.let_go` in every child that is forked from now on, as long as `held` lives."""
    _held.add(held)


def _let_go() -> None:
    for held in tuple(_held):
        held.let_go()


if sys.platform != "win32":  # Windows does not fork
    os.register_at_fork(after_in_child=_let_go)
