"""/healthz, /readyz and /metrics of the workers in this process."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, Self

from prometheus_client import REGISTRY
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from kaption.workers.runtime.worker import Worker

_LIVENESS = b"GET /healthz HTTP/1."
_JSON = "application/json"
_PROBER_S = 1.0
"""How long a prober may keep the server's own thread, where all others wait for it."""
_REQUEST_BYTES = 65_536


class HealthServer:
    """Serves on `port` (0: any free one) inside a `with` block.

    A probe succeeds only if all workers are well; its answer names those that are not.
    """

    def __init__(self, workers: Sequence[Worker], port: int, host: str = "0.0.0.0") -> None:  # noqa: S104 - probes come from outside the container
        self._server = _ProbeServer(tuple(workers), (host, port))
        self._thread = Thread(target=self._server.serve_forever, name="health", daemon=True)

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _ProbeServer(ThreadingHTTPServer):
    """Answers /healthz on its own thread, in one piece, and all else on a thread each.

    The interpreter changes hands at each system call, and a busy process gets it back late: after
    tens of milliseconds, and after seconds where the machine gives it little time. A thread of its
    own, a line at a time, took three times as many changes. Nothing that /healthz looks at waits.
    """

    def __init__(self, workers: Sequence[Worker], address: tuple[str, int]) -> None:
        self._workers = workers
        handler = type("Handler", (_HealthHandler,), {"workers": workers})
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer, or start a thread that does."""
        try:
            seen = request.recv(len(_LIVENESS), socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:  # nothing came yet
            seen = b""
        if seen != _LIVENESS:
            self._process_elsewhere(request, client_address)
            return
        status, body = _liveness(self._workers)
        head = f"HTTP/1.0 {status.value} {status.phrase}\r\nContent-Type: {_JSON}"
        with suppress(OSError):  # a prober that hung up
            request.settimeout(_PROBER_S)
            request.sendall(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            # What was not read when a socket is closed resets it, and the answer may be lost.
            request.recv(_REQUEST_BYTES)
        self.shutdown_request(request)

    def _process_elsewhere(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # the process gets no more threads: this one answers what is short
            request.settimeout(_PROBER_S)
            self.process_request_thread(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong, but not that a prober hung up, as it does on a busy machine."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _HealthHandler(BaseHTTPRequestHandler):
    workers: Sequence[Worker] = ()

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/healthz":
                self._answer(*_liveness(self.workers))
            case "/readyz":
                asked = {worker.name: worker.not_ready() for worker in self.workers}
                self._answer(*_told({name: why for name, why in asked.items() if why}))
            case "/metrics":
                self._answer(HTTPStatus.OK, generate_latest(REGISTRY), CONTENT_TYPE_LATEST)
            case _:
                self._answer(HTTPStatus.NOT_FOUND, b"/healthz /readyz /metrics\n", "text/plain")

    def _answer(self, status: HTTPStatus, body: bytes, kind: str = _JSON) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - http.server's name
        """Log nothing: probes come every few seconds."""


def _liveness(workers: Sequence[Worker]) -> tuple[HTTPStatus, bytes]:
    return _told({worker.name: "poll thread stuck" for worker in workers if not worker.alive})


def _told(problems: dict[str, str]) -> tuple[HTTPStatus, bytes]:
    status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
    return status, json.dumps({"problems": problems}).encode()
