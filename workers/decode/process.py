"""The parent's side of one decoding process: starts it on demand, ends it when it misbehaves."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

from kaption.connections.errors import Fatal
from kaption.schemas import OptOutSignal, Reason
from kaption.workers.decode.decoded import Decoded
from kaption.workers.decode.frames import PeerClosedError, receive_frame, send_frame
from kaption.workers.decode.metadata.declared import BLOCKS, MAX_SIGNALS
from kaption.workers.policy.ingest import ImagePolicy
from kaption.workers.runtime.stage import Reject

OUT_OF_MEMORY = 3
"""Exit status of a child whose image needed more than the memory limit."""
OUT_OF_TIME = -signal.SIGXCPU
"""Exit status (as `subprocess` gives it) of a child that exceeded its processor time."""
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0
# multiprocessing would not do: its spawn imports the parent's main module again, and it pickles.
_PROGRAM = """\
import sys
sys.path[:] = {path!r}
from kaption.workers.decode.child import main
main()
"""
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(16 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(32 << 20),
}
"""No credentials for an attacker who takes over the child. NumPy would start idle threads. glibc
keeps up to 32 MiB for the next image: to take its pages from the system anew costs 3 %."""


class DecodeProcess:
    """One child process. Only one thread at a time may use it."""

    def __init__(self, policy: ImagePolicy) -> None:
        self._policy = policy
        self._child: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        # A JPEG of noise at quality 100 takes up to about 4 bytes a pixel.
        self._max_answer = 6 * policy.longest_side**2 + (1 << 20)

    @property
    def pid(self) -> int | None:
        """The child's process id, or None if there is no child."""
        return None if self._child is None else self._child.pid

    def decode(self, data: bytes) -> Decoded:
        """Decode one image. Raises Reject, or Fatal when the child cannot be started."""
        if self._child is not None and self._child.poll() is not None:
            self.stop()  # it died while idle, so no image is to blame
        sock = self._sock or self._start()
        deadline = time.monotonic() + self._policy.decode_wall_s
        try:
            sock.settimeout(self._policy.decode_wall_s)
            send_frame(sock, data)
            answer = receive_frame(sock, self._max_answer, deadline)
            return _read(answer)
        except TimeoutError:
            self._kill()
            raise Reject(
                Reason.DECODE_TIMEOUT, f"no answer within {self._policy.decode_wall_s:g} s"
            ) from None
        except (OSError, ValueError, TypeError) as error:
            status = self._end(error)
            reason = Reason.DECODE_TIMEOUT if status == OUT_OF_TIME else Reason.DECODE_FAILED
            raise Reject(reason, self._cause(status, error)) from error

    def stop(self) -> None:
        """Let the child end by itself, then kill it if it does not. Idempotent."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        if self._child is not None:
            try:
                self._child.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
            self._child = None

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        with theirs:
            self._child = subprocess.Popen(  # noqa: S603 # our own program
                [sys.executable, "-c", _PROGRAM.format(path=sys.path)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                start_new_session=True,  # Ctrl-C goes to the parent alone: it finishes its images
            )
        self._sock = ours
        try:
            ours.settimeout(START_TIMEOUT_S)
            send_frame(ours, self._policy.model_dump_json().encode())
            receive_frame(ours, 0, time.monotonic() + START_TIMEOUT_S)
        except (OSError, ValueError) as error:
            cause = self._cause(self._end(error), error)
            raise Fatal(
                f"the decoding process did not start: {cause}. Its own message is above; "
                f"decode_memory_bytes is {self._policy.decode_memory_bytes}"
            ) from error
        return ours

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()
        self.stop()

    def _end(self, error: Exception) -> int | None:
        """End the child. Returns its exit status if it died by itself, else None."""
        child = self._child
        assert child is not None
        status: int | None = None
        if isinstance(error, PeerClosedError | BrokenPipeError | ConnectionResetError):
            # The child is ending. On a loaded machine this may take a while.
            with suppress(subprocess.TimeoutExpired):
                status = child.wait(self._policy.decode_wall_s)
        self._kill()
        return status

    def _cause(self, status: int | None, error: Exception) -> str:
        if status is None:
            return f"unreadable answer: {type(error).__name__}: {error}"[:500]
        if status == OUT_OF_MEMORY:
            return f"needs more than {self._policy.decode_memory_bytes} bytes of memory"
        if status == OUT_OF_TIME:
            return f"needs more than {self._policy.decode_cpu_s} s of processor time"
        if status < 0:
            return f"the decoder died of {signal.Signals(-status).name}"
        return f"the decoder ended with status {status}"


def _read(answer: bytes) -> Decoded:
    """Read the child's answer.

    Raises the child's Reject, and ValueError or TypeError on an answer that no sound child sends.
    """
    head, _, jpeg = answer.partition(b"\n")
    fields = json.loads(head)
    if "reason" in fields:
        raise Reject(Reason(fields["reason"]), str(fields["detail"])[:1000])
    # An image that took over the child may answer anything: each name counts a metric of its own.
    said = [OptOutSignal.model_validate(each) for each in fields.pop("opt_out", ())]
    broken = fields.pop("unreadable", ())
    for later in ("faces", "faces_blurred", "nsfw"):  # found after decoding
        fields.pop(later, None)
    return Decoded(
        jpeg=jpeg,
        opt_out=tuple(said[:MAX_SIGNALS]),
        unreadable=tuple(name for name in BLOCKS if name in broken),
        **fields,
    )
