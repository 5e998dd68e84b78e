"""Resolves host names with a time limit."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from kaption.workers.runtime.stage import Later

LOOKUPS_AT_ONCE = 256
"""Look-ups that may run at once. Further records come again later. An abandoned look-up counts
until it ends, because its thread cannot be stopped."""
_HANGS_S = 4.0
"""A look-up that ends with "try again" after this time was given up by the system, which waits for
five seconds by default."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a host, in the form that `socket.connect` takes."""

    family: int
    sockaddr: tuple[str, int] | tuple[str, int, int, int]

    @property
    def address(self) -> str:
        """The numeric address."""
        return self.sockaddr[0]


LookUp = Callable[[str, int], list[Endpoint]]
"""Returns the addresses of a host and port, in the order to try them. Raises OSError (gaierror)."""


def system_look_up(host: str, port: int, flags: int = 0) -> list[Endpoint]:
    """Ask the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [
        Endpoint(family, sockaddr)  # type: ignore[arg-type] # typeshed allows bytes paths
        for family, _, _, _, sockaddr in found
        if family in (socket.AF_INET, socket.AF_INET6)
    ]


class Resolver:
    """Runs look-ups in threads, because getaddrinfo has no time limit.

    Callers that ask for one name at the same time share a look-up.
    """

    def __init__(self, look_up: LookUp = system_look_up) -> None:
        self._look_up = look_up
        self._slots = threading.BoundedSemaphore(LOOKUPS_AT_ONCE)
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], Future[list[Endpoint]]] = {}

    def resolve(self, host: str, port: int, timeout_s: float) -> list[Endpoint]:
        """The addresses of a host name, or of a numeric address in any spelling (``127.1``).

        Raises TimeoutError, the resolver's OSError (gaierror), and Later if too many look-ups hang.
        """
        try:
            return system_look_up(host, port, socket.AI_NUMERICHOST)
        except socket.gaierror:
            pass  # not numeric: a name
        with self._lock:
            answer = self._running.get((host, port))
            if answer is None or answer.done():
                answer = self._running[host, port] = self._start(host, port)
        try:
            return answer.result(max(0.0, timeout_s))
        except TimeoutError:
            if answer.done():
                raise
            raise TimeoutError(f"no answer from the name server within {timeout_s:.1f} s") from None

    def _start(self, host: str, port: int) -> Future[list[Endpoint]]:
        if not self._slots.acquire(blocking=False):
            # It is no fault of this host.
            raise Later(f"{LOOKUPS_AT_ONCE} name look-ups are already waiting", 1.0)
        answer: Future[list[Endpoint]] = Future()
        # A daemon thread, not a pool's: a look-up that hangs must not keep the process from ending.
        thread = threading.Thread(
            target=self._run, args=(host, port, answer), name="look-up", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the system has no thread left
            self._slots.release()
            raise
        return answer

    def _run(self, host: str, port: int, answer: Future[list[Endpoint]]) -> None:
        began = time.monotonic()
        try:
            answer.set_result(self._look_up(host, port))
        except OSError as error:
            hung = time.monotonic() - began >= _HANGS_S
            if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN and hung:
                error = TimeoutError(f"no answer from the name server: {error}")
            answer.set_exception(error)
        except UnicodeError as error:  # a label that IDNA cannot encode
            answer.set_exception(socket.gaierror(socket.EAI_NONAME, f"not a host name: {error}"))
        finally:
            self._slots.release()
            with self._lock:
                if self._running.get((host, port)) is answer:
                    del self._running[host, port]
