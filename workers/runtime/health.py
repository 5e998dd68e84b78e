"""/healthz, /readyz and /metrics of the workers in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, Self

from prometheus_client import REGISTRY
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from kaption.workers.runtime.worker import Worker


class HealthServer:
    """Serves on `port` (0: any free one) inside a `with` block.

    A probe succeeds only if all workers are well; its answer names those that are not.
    """

    def __init__(self, workers: Sequence[Worker], port: int, host: str = "0.0.0.0") -> None:  # noqa: S104 - probes come from outside the container
        handler = type("Handler", (_HealthHandler,), {"workers": tuple(workers)})
        self._server = _ProbeServer((host, port), handler)
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
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong, but not that a prober hung up, as it does on a busy machine."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _HealthHandler(BaseHTTPRequestHandler):
    workers: Sequence[Worker] = ()

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/healthz":
                problems = {w.name: "poll thread stuck" for w in self.workers if not w.alive}
                self._answer_problems(problems)
            case "/readyz":
                asked = {worker.name: worker.not_ready() for worker in self.workers}
                self._answer_problems({name: why for name, why in asked.items() if why})
            case "/metrics":
                self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(REGISTRY))
            case _:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"/healthz /readyz /metrics\n")

    def _answer_problems(self, problems: dict[str, str]) -> None:
        status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        self._answer(status, "application/json", json.dumps({"problems": problems}).encode())

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - http.server's name
        """Log nothing: probes come every few seconds."""
