"""Ends a connection at its deadline, whatever the connection is doing.

A socket's own time-out starts again with every byte. A server that sends one byte at a time, or
endless ``100 Continue`` answers, could thus hold its reader for ever. The watchdog shuts the socket
down from another thread, which ends every read.
"""

from __future__ import annotations

import heapq
import itertools
import socket
import threading
import time
from contextlib import suppress


class Guard:
    """One watched connection."""

    def __init__(self, sock: socket.socket, lock: threading.Condition, deadline: float) -> None:
        # Duplicate the socket: TLS detaches the descriptor from the first socket object, and a
        # closed descriptor's number could already belong to another connection.
        self._sock = sock.dup()
        self._lock = lock
        self._released = False
        self.deadline = deadline
        """May be put off. It counts when the earlier one is reached."""
        self.expired = False

    def release(self) -> None:
        """Stop watching the connection. Idempotent."""
        with self._lock:
            self._released = True
            self._sock.close()

    def _expire(self) -> None:
        """End the connection. The caller holds the lock."""
        if self._released:
            return
        self.expired = True
        with suppress(OSError):  # the server has closed the connection already
            self._sock.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """One thread that watches all deadlines. It starts with the first connection."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._heap: list[tuple[float, int, Guard]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def guard(self, sock: socket.socket, deadline: float) -> Guard:
        """Shut `sock` down at `deadline` (time.monotonic), unless the guard is released before."""
        guard = Guard(sock, self._condition, deadline)
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
        """End every watched connection and the thread."""
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
                    guard = heapq.heappop(self._heap)[2]
                    if guard.deadline <= now:
                        guard._expire()
                    elif not guard._released:
                        heapq.heappush(self._heap, (guard.deadline, next(self._order), guard))
                self._condition.wait(self._heap[0][0] - now if self._heap else None)
