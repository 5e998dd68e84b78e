"""The base class of the local servers: a folder, ports and a process."""

import random
import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Self

from kaption.workers.local.process import ServerError, ServerProcess

HOST = "127.0.0.1"
# Below the ephemeral range (from 32768 on Linux, from 49152 elsewhere). The system may give a port
# from bind(0) to an outgoing connection before the server listens on it. A client that reconnects
# to such a port while the server is down can even connect to itself.
_PORT_RANGE = (20_000, 32_000)
_PORT_DRAWS = 200
_PORT_TRIES = 3


class LocalServer(ABC):
    """A server on 127.0.0.1. Use it in a `with` block, or call `start` and `stop`.

    `folder` holds its data and `server.log`. Without one it uses a temporary folder, which is
    deleted at the end of the `with` block. The ports are chosen at the first start and kept for
    later starts. Every start may raise MissingServer and ServerError.
    """

    name: ClassVar[str]
    port_count: int = 1
    start_timeout_s: ClassVar[float] = 30.0
    stop_grace_s: ClassVar[float] = 10.0

    def __init__(self, folder: Path | None = None) -> None:
        self._temporary: TemporaryDirectory[str] | None = None
        if folder is None:
            self._temporary = TemporaryDirectory(prefix="kaption-")
            folder = Path(self._temporary.name)
        self.folder = folder
        self.ports: tuple[int, ...] = ()
        self._process: ServerProcess | None = None

    @abstractmethod
    def _prepare(self) -> Sequence[str]:
        """Write the server's configuration for `self.ports`. Returns its command line."""

    @abstractmethod
    def _probe(self) -> None:
        """Raises OSError unless the server answers."""

    @property
    def process(self) -> ServerProcess:
        """The child process. Raises ServerError before the first start."""
        if self._process is None:
            raise ServerError(f"{self.name} was never started")
        return self._process

    def start(self) -> None:
        """Start the server. A later start uses the same ports and data as the first one."""
        if self._process is not None:
            self._process.start(self._probe, self.start_timeout_s)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, _PORT_TRIES + 1):
            self.ports = free_ports(self.port_count)
            process = ServerProcess(self.name, self._prepare(), self.folder / "server.log")
            try:
                process.start(self._probe, self.start_timeout_s)
            except ServerError as error:
                # Another process may have taken a port after it was chosen.
                if attempt == _PORT_TRIES or "in use" not in str(error).lower():
                    raise
            else:
                self._process = process
                return

    def stop(self) -> None:
        """Shut the server down in order. Its data stays."""
        self.process.stop(self.stop_grace_s)

    def restart(self) -> None:
        """Shut the server down in order and start it again."""
        self.stop()
        self.start()

    def kill9(self) -> None:
        """Kill the server (SIGKILL). Its data stays as it was written."""
        self.process.kill()

    def freeze(self) -> None:
        """Stop the server's execution. Its connections stay open and get no answer."""
        self.process.freeze()

    def thaw(self) -> None:
        """Let the server continue after `freeze`."""
        self.process.thaw()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()


def free_ports(count: int) -> tuple[int, ...]:
    """`count` distinct ports that nobody listens on.

    The ports are not reserved: a server that finds its port taken must try another. Raises OSError
    when there are not enough free ports.
    """
    # Two test runs with the same seed must not pick the same ports, so no seeded generator.
    draw = random.SystemRandom()
    ports: list[int] = []
    with ExitStack() as held:
        for _ in range(_PORT_DRAWS):
            if len(ports) == count:
                return tuple(ports)
            candidate = held.enter_context(socket.socket())
            port = draw.randrange(*_PORT_RANGE)
            try:
                candidate.bind((HOST, port))
            except OSError:
                continue
            ports.append(port)
    raise OSError(f"there are no {count} free ports between {_PORT_RANGE[0]} and {_PORT_RANGE[1]}")
