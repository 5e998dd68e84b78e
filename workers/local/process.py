"""One child process that serves: started until it answers, stopped, killed, frozen."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_TAIL_LINES = 30
_POLL_S = 0.05
# Ends the server once this process is gone: its standard input then reads end-of-file.
# PR_SET_PDEATHSIG was rejected: it fires when the *thread* that started the child ends, and
# tests restart servers from short-lived threads.
_GUARD = ["/bin/sh", "-c", 'read -r _; kill -9 "$0"']


class ServerError(RuntimeError):
    """A local server could not be started; the message says why and ends with its log."""


class ServerProcess:
    """A server as a child process, with its output appended to one log file.

    It has its own session, so that Ctrl-C reaches this process alone and servers are stopped
    in order, and it never outlives this process, however that one ends.
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
        """Whether the process exists; a frozen one does."""
        return self._child is not None and self._child.poll() is None

    def start(self, probe: Callable[[], None], timeout_s: float) -> None:
        """Start the server and return once `probe` passes; `probe` raises OSError until then.

        Raises ServerError, with the log's tail, when the process ends or does not answer
        within `timeout_s` seconds. The process is gone then.
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
        """Ask the server to end, kill it after `grace_s` seconds; nothing if it is not running."""
        if self._child is not None and self.running:
            self._child.terminate()
            # A frozen process would not see the request; one that has ended by now does not mind.
            self._child.send_signal(signal.SIGCONT)
            try:
                self._child.wait(grace_s)
            except subprocess.TimeoutExpired:
                self._child.kill()
        self.kill()

    def kill(self) -> None:
        """End the server at once (SIGKILL) and wait until it is gone."""
        # The guard goes first: it must not be left holding the id of a process already reaped.
        for process in (self._guard, self._child):
            if process is not None:
                process.kill()
                process.wait()
                if process.stdin is not None:
                    process.stdin.close()
        self._guard = self._child = None

    def freeze(self) -> None:
        """Stop the server's execution (SIGSTOP); its connections stay open and silent."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._child is None or not self.running:
            raise ServerError(f"{self.name} is not running")
        self._child.send_signal(number)

    def _tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join([f"; end of {self.log}:", *lines])
