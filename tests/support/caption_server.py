"""A real server of the OpenAI protocol with a tiny model, and a proxy before it that misbehaves."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any, ClassVar, Self
from urllib.request import urlopen

from kaption.workers.local.server import HOST, LocalServer


class TransformersServe(LocalServer):
    """`transformers serve` with the model in a folder. It ignores `n`: see `CaptionProxy`."""

    name: ClassVar[str] = "transformers serve"
    start_timeout_s: ClassVar[float] = 180.0
    stop_grace_s: ClassVar[float] = 3.0

    def __init__(self, model: Path, folder: Path | None = None) -> None:
        super().__init__(folder)
        self.model = str(model)

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"http://{HOST}:{self.ports[0]}/v1"

    def _prepare(self) -> Sequence[str]:
        serve = str(Path(sys.executable).with_name("transformers"))
        port = str(self.ports[0])
        return [serve, "serve", self.model, "--host", HOST, "--port", port, "--device", "cpu"]

    def _probe(self) -> None:
        urlopen(f"http://{HOST}:{self.ports[0]}/health", timeout=2).close()


@dataclass
class Reply:
    """What the proxy answers in place of the server."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    slow_s: float = 0.0
    """Time before the answer; with `trickle`, between its bytes."""
    trickle: bool = False
    cut: bool = False
    """Close the connection in the middle of the body."""


Body = dict[str, Any]
Fault = Callable[[Body], Reply | None]
"""Looks at a request; None lets it through."""


class CaptionProxy:
    """Hands requests to a server, and answers to its client, changed as a test wants.

    Where `honour_n` is True it makes the server's missing support of `n`: it asks several times.
    """

    def __init__(self, target: str, *, honour_n: bool = False) -> None:
        self.target = target
        self.honour_n = honour_n
        self.faults: deque[Fault] = deque()
        """Each sees every request until it is taken away; the first that replies wins."""
        self.change: Callable[[Body], None] = lambda payload: None
        """Changes an answer of the server in place."""
        self.models: Body | None = None
        self.seen: list[Body] = []
        self.keys: list[str | None] = []
        self.busy = self.most_busy = 0
        self._lock = Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                reply = Reply(404)
                if outer.models is not None:
                    reply = Reply(body=json.dumps(outer.models).encode())
                outer._send(self, reply)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer._send(self, outer._reply(body, self.headers.get("authorization")))

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{HOST}:{self._server.server_port}/v1"

    def forget(self) -> None:
        """Forget what was seen."""
        self.seen.clear()
        self.keys.clear()

    def _reply(self, body: Body, key: str | None) -> Reply:
        with self._lock:
            self.seen.append(body)
            self.keys.append(key)
            self.busy += 1
            self.most_busy = max(self.most_busy, self.busy)
        try:
            for fault in self.faults:
                if (reply := fault(body)) is not None:
                    return reply
            return self._passed(body)
        finally:
            with self._lock:
                self.busy -= 1

    def _passed(self, body: Body) -> Reply:
        times = body.get("n", 1) if self.honour_n else 1
        payloads = []
        for number in range(times):
            one = body | {"seed": body.get("seed", 0) + number}
            request = urllib.request.Request(
                f"{self.target}/chat/completions",
                json.dumps(one).encode(),
                {"content-type": "application/json"},
            )
            try:
                with urlopen(request, timeout=60) as response:
                    payloads.append(json.load(response))
            except urllib.error.HTTPError as error:
                return Reply(error.code, error.read())
        payload = payloads[0]
        payload["choices"] = [it for each in payloads for it in each["choices"]]
        self.change(payload)
        return Reply(body=json.dumps(payload).encode())

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        try:
            if not reply.trickle:
                time.sleep(reply.slow_s)
            handler.send_response(reply.status)
            for name, value in reply.headers.items():
                handler.send_header(name, value)
            handler.send_header("content-length", str(len(reply.body) + reply.cut))
            handler.end_headers()
            pieces = [reply.body]
            if reply.trickle:
                pieces = [bytes([each]) for each in reply.body]
            for piece in pieces:
                handler.wfile.write(piece)
                handler.wfile.flush()
                if reply.trickle:
                    time.sleep(reply.slow_s)
            if reply.cut:
                handler.close_connection = True
        except OSError:
            handler.close_connection = True

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def times(count: int, reply: Reply) -> Fault:
    """A fault of the first `count` requests."""
    left = [reply] * count
    lock = Lock()

    def fault(body: Body) -> Reply | None:
        with lock:
            return left.pop() if left else None

    return fault


def error(message: str, **fields: object) -> bytes:
    """An error as OpenAI writes it."""
    return json.dumps({"error": {"message": message, **fields}}).encode()
