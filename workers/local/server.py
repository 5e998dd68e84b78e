"""The common part of the local servers: a folder, ports, a process."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Self

from kaption.workers.local.ports import free_ports
from kaption.workers.local.process import ServerError, ServerProcess

_PORT_TRIES = 3


class LocalServer(ABC):
    """A server on 127.0.0.1, used as a context manager or by `start` and `stop`.

    `folder` keeps its data and `server.log`; without one, a temporary folder that goes when the
    `with` block ends. Ports are chosen at the first start and kept for every later one.
    Every start raises MissingServer or ServerError.
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
        """Write what the server reads, for `self.ports`, and return its command line."""

    @abstractmethod
    def _probe(self) -> None:
        """Return if the server serves; raise OSError if not."""

    @property
    def process(self) -> ServerProcess:
        """The child process; raises ServerError before the first start."""
        if self._process is None:
            raise ServerError(f"{self.name} was never started")
        return self._process

    def start(self) -> None:
        """Start, on the same ports and data as before if there was a before."""
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
                # Somebody took a port between the choice and the start.
                if attempt == _PORT_TRIES or "in use" not in str(error).lower():
                    raise
            else:
                self._process = process
                return

    def stop(self) -> None:
        """Shut down in order; the data stays."""
        self.process.stop(self.stop_grace_s)

    def restart(self) -> None:
        """Shut down in order, then start."""
        self.stop()
        self.start()

    def kill9(self) -> None:
        """End it as a power cut of the process would; the data stays as written."""
        self.process.kill()

    def freeze(self) -> None:
        """Stop its execution; connections stay open and get no answer."""
        self.process.freeze()

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self.process.thaw()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()
