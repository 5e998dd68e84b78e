"""Child processes that decode what the parent must not open itself."""

from __future__ import annotations

import os
import queue
import threading
from typing import Self

from kaption.connections.errors import Fatal
from kaption.workers.decode.decoded import Decoded
from kaption.workers.decode.process import DecodeProcess
from kaption.workers.policy import ImagePolicy


class DecodePool:
    """A fixed number of decoding processes, each replaced when it crashes or hangs.

    Thread-safe: `decode` blocks while all are busy.
    """

    def __init__(self, policy: ImagePolicy, processes: int | None = None) -> None:
        count = processes or policy.decode_processes or len(os.sched_getaffinity(0))
        self._processes = [DecodeProcess(policy) for _ in range(count)]
        # Last in, first out: at low load the same few stay warm.
        self._free: queue.LifoQueue[DecodeProcess] = queue.LifoQueue()
        for process in self._processes:
            self._free.put(process)
        self._closing = threading.Event()

    def decode(self, data: bytes) -> Decoded:
        """Decode one image (see `kaption.workers.decode.decode.decode`).

        Raises Reject: what `decode` raises, decode_timeout past the limit of processor time (or,
        for a child that hangs, of wall-clock time), decode_failed when the process died or exceeded
        its memory. Raises Fatal when no child can be started, or the pool is closed.
        """
        process = self._free.get()
        try:
            if self._closing.is_set():
                raise Fatal("the decode pool is closed")
            return process.decode(data)
        finally:
            self._free.put(process)

    def pids(self) -> list[int | None]:
        """Of the children; none for one that is not started."""
        return [process.pid for process in self._processes]

    def close(self) -> None:
        """End the children, after the images they have in hand. Idempotent."""
        if self._closing.is_set():
            return
        self._closing.set()
        for _ in self._processes:
            self._free.get().stop()
        for process in self._processes:
            self._free.put(process)  # whoever still waits learns that the pool is closed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
