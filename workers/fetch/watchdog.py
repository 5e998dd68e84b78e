"""A deadline that ends whatever a connection is doing.

A socket's own time-out starts anew with every byte, so a server that drips, or sends ``100
Continue`` without end, holds its reader for ever. Shutting the socket down from outside ends all.
"""

from __future__ import annotations

import heapq
import itertools
import socket
import threading
import time
from contextlib import suppress


class Guard:
    """One connection under watch."""

    def __init__(self, sock: socket.socket, lock: threading.Condition) -> None:
        # A duplicate of its own: TLS detaches the descriptor from the first socket object, and a
        # closed number could already belong to another connection.
        self._sock = sock.dup()
        self._lock = lock
        self._released = False
        self.expired = False

    def release(self) -> None:
        """Stop watching. Idempotent."""
        with self._lock:
            self._released = True
            self._sock.close()

    def _expire(self) -> None:
        """End the connection; the caller holds the lock."""
        if self._released:
            return
        self.expired = True
        with suppress(OSError):  # the peer was faster
            self._sock.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """One thread for all deadlines; started with the first."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._heap: list[tuple[float, int, Guard]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def guard(self, sock: socket.socket, deadline: float) -> Guard:
        """Shut `sock` down at `deadline` (time.monotonic) unless released before."""
        guard = Guard(sock, self._condition)
        with self._condition:
            if self._closed:
                guard._expire()
                return guard
            heapq.heappush(self._heap, (deadline, next(self._order), guard))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            if self._heap[0][2] is guard:
                self._condition.notify_all()
        return guard

    def close(self) -> None:
        """End every guarded connection and the thread."""
        with self._condition:
            self._closed = True
            for _, _, guard in self._heap:
                guard._expire()
            self._heap.clear()
            self._condition.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        with self._condition:
            while not self._closed:
                now = time.monotonic()
                while self._heap and self._heap[0][0] <= now:
                    heapq.heappop(self._heap)[2]._expire()
                self._condition.wait(self._heap[0][0] - now if self._heap else None)
