"""An OAuth token endpoint for client credentials, on 127.0.0.1."""

import base64
import json
import ssl
import threading
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class TokenEndpoint:
    """Gives a token to the client that knows the secret; used in a `with` block."""

    def __init__(
        self,
        make_token: Callable[[], str],
        tls: ssl.SSLContext | None = None,
        client: tuple[str, str] = ("kaption", "client-secret"),
    ) -> None:
        self.asked: list[dict[str, str]] = []
        """The forms that were posted."""
        self.life_s = 3600.0
        self.answer: tuple[int, bytes] | None = None
        """In place of a token: a status and a body."""
        self.client = client
        self._make_token = make_token
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                status, data = endpoint._answer(dict(urllib.parse.parse_qsl(body)), self.headers)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", data.decode())
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._scheme = "http"
        if tls is not None:
            self._scheme = "https"
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}/token"

    def _answer(self, form: dict[str, str], headers: Any) -> tuple[int, bytes]:
        self.asked.append(form)
        if self.answer is not None:
            return self.answer
        _, _, coded = headers.get("Authorization", "").partition(" ")
        given = [
            urllib.parse.unquote_plus(part) for part in base64.b64decode(coded).decode().split(":")
        ]
        if tuple(given) != self.client:
            return 401, b'{"error": "invalid_client"}'
        token = {
            "access_token": self._make_token(),
            "token_type": "Bearer",
            "expires_in": self.life_s,
        }
        return 200, json.dumps(token).encode()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
