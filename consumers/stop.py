"""What ends a stream early."""

from __future__ import annotations

import time
from typing import Protocol


class Stop(Protocol):
    """An event of `threading`, or of `multiprocessing` where DataLoader workers read."""

    def is_set(self) -> bool:
        """Whether it is time to end."""

    def wait(self, timeout: float, /) -> bool:
        """Wait until it is, at most `timeout` seconds; whether it is."""


class Never:
    """Nothing ends it but who reads it."""

    def is_set(self) -> bool:
        """False."""
        return False

    def wait(self, timeout: float, /) -> bool:
        """Sleep."""
        time.sleep(timeout)
        return False
