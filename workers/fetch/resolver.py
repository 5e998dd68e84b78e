"""Resolves host names with a time limit."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

LOOKUPS_AT_ONCE = 64
"""Look-ups that may run at once. Further callers wait. An abandoned look-up counts until it ends,
because its thread cannot be stopped."""


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
    """Runs look-ups in threads, because getaddrinfo has no time limit."""

    def __init__(self, look_up: LookUp = system_look_up) -> None:
        self._look_up = look_up
        self._slots = threading.BoundedSemaphore(LOOKUPS_AT_ONCE)

    def resolve(self, host: str, port: int, timeout_s: float) -> list[Endpoint]:
        """The addresses of a host name, or of a numeric address in any spelling (``127.1``).

        Raises TimeoutError, or the resolver's OSError (gaierror).
        """
        try:
            return system_look_up(host, port, socket.AI_NUMERICHOST)
        except socket.gaierror:
            pass  # not numeric: a name
        ends = time.monotonic() + timeout_s
        if not self._slots.acquire(timeout=max(0.0, timeout_s)):
            raise TimeoutError(f"{LOOKUPS_AT_ONCE} name look-ups are already waiting")
        answers: queue.SimpleQueue[list[Endpoint] | OSError] = queue.SimpleQueue()
        # A daemon thread, not a pool's: a look-up that hangs must not keep the process from ending.
        threading.Thread(
            target=self._run, args=(host, port, answers), name="look-up", daemon=True
        ).start()
        try:
            answer = answers.get(timeout=max(0.0, ends - time.monotonic()))
        except queue.Empty:
            raise TimeoutError(f"no answer from the name server within {timeout_s:.1f} s") from None
        if isinstance(answer, OSError):
            raise answer
        return answer

    def _run(
        self, host: str, port: int, answers: queue.SimpleQueue[list[Endpoint] | OSError]
    ) -> None:
        try:
            answers.put(self._look_up(host, port))
        except OSError as error:
            answers.put(error)
        except UnicodeError as error:  # a label that IDNA cannot encode
            answers.put(socket.gaierror(socket.EAI_NONAME, f"not a host name: {error}"))
        finally:
            self._slots.release()
