"""A web site that serves a crawl's images, some of them slowly and some not at all."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, Self

from kaption.workers.policy.ingest import FetchPolicy

FETCH = FetchPolicy(allow_networks=("127.0.0.0/8",), total_timeout_s=8.0, attempts=2)
"""For fetching from `Site`: loopback is allowed, and a silent page ends after 8 s. The site and the
models share this process: on a slow machine an answer takes seconds."""
SLOW_S = 0.8
"""Delay of a slow page: within FETCH's deadline."""
SILENT_S = 60.0
"""Delay of a silent page: longer than any deadline."""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer."""

    body: bytes
    media_type: str
    delay_s: float = 0.0


class Site:
    """Serves `pages` by path, with a thread for each request. Other paths give 404.

    Port 0 takes a free port.
    """

    def __init__(self, pages: Mapping[str, Page], host: str = "127.0.0.1", port: int = 0) -> None:
        self._closing = threading.Event()
        handler = type("_SiteHandler", (_SiteHandler,), {"pages": pages, "closing": self._closing})
        self._host = host
        self._server = _Server((host, port), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="demo-site")

    @property
    def url(self) -> str:
        """The site's URL without a trailing slash. It is known before the `with` block starts."""
        return f"http://{self._host}:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a crawl opens many connections at once; the default is 5


class _SiteHandler(BaseHTTPRequestHandler):
    pages: ClassVar[Mapping[str, Page]]
    closing: ClassVar[threading.Event]

    def do_GET(self) -> None:  # the name is http.server's
        page = self.pages.get(self.path)
        if page is None:
            self.send_error(404)
            return
        if page.delay_s:
            self.closing.wait(page.delay_s)
        try:
            self.send_response(200)
            self.send_header("Content-Type", page.media_type)
            self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            self.wfile.write(page.body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client gave up on a slow page, as it should

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        """Log nothing: the fetcher's reasons say more."""
