"""A pool of child processes that decode untrusted images. The parent never opens them itself."""

from __future__ import annotations

import os
import queue
import threading
from typing import Self

from kaption.connections.errors import Fatal
from kaption.workers.decode.decoded import Decoded
from kaption.workers.decode.process import DecodeProcess
from kaption.workers.policy.ingest import ImagePolicy


class DecodePool:
    """A fixed number of decoding processes. A process that crashes or hangs is replaced.

    Any thread may call `decode`. It blocks while all processes are busy.
    """

    def __init__(self, policy: ImagePolicy, processes: int | None = None) -> None:
        count = processes or policy.decode_processes or len(os.sched_getaffinity(0))
        self._processes = [DecodeProcess(policy) for _ in range(count)]
        # Last in, first out: at low load the same few processes stay warm.
        self._free: queue.LifoQueue[DecodeProcess] = queue.LifoQueue()
        for process in self._processes:
            self._free.put(process)
        self._closing = threading.Event()

    def decode(self, data: bytes) -> Decoded:
        """Decode one image (see `kaption.workers.decode.decode.decode`).

        Raises Reject for the reasons of that function, decode_timeout when a limit of processor
        time or wall-clock time is exceeded, and decode_failed when the process died or exceeded its
        memory. Raises Fatal when no process can be started, or the pool is closed.
        """
        process = self._free.get()
        try:
            if self._closing.is_set():
                raise Fatal("the decode pool is closed")
            return process.decode(data)
        finally:
            self._free.put(process)

    def close(self) -> None:
        """Let the children finish their present images, then end them. Idempotent."""
        if self._closing.is_set():
            return
        self._closing.set()
        for _ in self._processes:
            self._free.get().stop()
        for process in self._processes:
            self._free.put(process)  # threads that still wait learn that the pool is closed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
