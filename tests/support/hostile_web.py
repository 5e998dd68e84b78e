"""A web server on loopback. The path says how badly it behaves."""

import gzip
import socket
import ssl
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

BODY = b"the picture"
_ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "HostileWeb"

    def do_GET(self) -> None:
        self.server.seen(self)
        name, _, argument = self.path.lstrip("/").partition("/")
        self.close_connection = True
        # /robots.txt and its like are asked for, too.
        act = getattr(self, f"do_{name.replace('-', '_')}", lambda _: self.answer(b"", 404))
        act(unquote(argument))

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_raw(self, argument: str) -> None:
        """Send what the test put into `raw` under this name, byte by byte as it is."""
        self.wfile.write(self.server.raw[argument])

    def do_ok(self, _: str) -> None:
        self.answer(BODY, Content_Type="Image/PNG; charset=x", Set_Cookie="a=b")

    def do_status(self, argument: str) -> None:
        self.answer(BODY, int(argument))

    def do_to(self, argument: str) -> None:
        self.answer(b"", 302, Location=argument)

    def do_gate(self, argument: str) -> None:
        """Redirect to the same URL with the cookie `argument`, until it comes back with it."""
        if argument.partition(";")[0] in self.headers.get("Cookie", "").split("; "):
            self.do_ok("")
        else:
            self.answer(b"", 302, Location=self.path, Set_Cookie=argument)

    def do_loop(self, _: str) -> None:
        self.answer(b"", 301, Location="/loop")

    def do_first(self, argument: str) -> None:
        """Answer the first request with a status and Retry-After 7, later ones with 200."""
        if self.server.requests[self.path] == 1:
            self.answer(b"", int(argument), Retry_After="7")
        else:
            self.do_ok("")

    def do_wait(self, argument: str) -> None:
        self.answer(b"", 429, Retry_After=argument)

    def do_slow_body(self, _: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.drip(b"x")

    def do_late(self, argument: str) -> None:
        """Answer after some seconds, with a status; a redirect leads to the same address."""
        seconds, status = argument.split("/")
        time.sleep(float(seconds))
        self.answer(BODY, int(status), Location=self.path)

    def do_steady(self, argument: str) -> None:
        """Send this many pieces of 8 KiB, one each 50 ms."""
        self.send_response(200)
        self.send_header("Content-Length", str(int(argument) * 8192))
        self.end_headers()
        for _ in range(int(argument)):
            self.wfile.write(b"x" * 8192)
            time.sleep(0.05)

    def do_slow_headers(self, _: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        self.drip(b"x")

    def do_continue(self, _: str) -> None:
        self.drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 0.001)

    def do_endless(self, _: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.drip(b"x" * 65536, 0)

    def do_encoded(self, argument: str) -> None:
        encode = _ENCODERS.get(argument, bytes)
        self.answer(encode(BODY), Content_Encoding=argument)

    def do_bomb(self, argument: str) -> None:
        self.answer(_ENCODERS[argument](bytes(5_000_000)), Content_Encoding=argument)

    def do_announced(self, argument: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", argument)
        self.end_headers()

    def do_short(self, _: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(BODY)

    def do_reset(self, _: str) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def do_hang_up(self, _: str) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)

    def do_garbage(self, _: str) -> None:
        self.wfile.write(b"SSH-2.0-nothing\r\n")

    def do_hold(self, _: str) -> None:
        """Answer when `release` is set. Counts the requests that wait at once."""
        with self.server.lock:
            self.server.held += 1
            self.server.most_held = max(self.server.most_held, self.server.held)
        self.server.release.wait(10)
        with self.server.lock:
            self.server.held -= 1
        self.do_ok("")

    def drip(self, piece: bytes, pause_s: float = 0.02) -> None:
        while not self.server.stopping.is_set():
            self.wfile.write(piece)
            time.sleep(pause_s)


class HostileWeb(ThreadingHTTPServer):
    """Paths: see the `do_` methods above."""

    daemon_threads = True

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((address, port), _Handler)
        self.requests: Counter[str] = Counter()
        self.raw: dict[str, bytes] = {}
        self.last_headers: dict[str, str] = {}
        self.last_line = ""
        self.server_names: list[str] = []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.release = threading.Event()
        self.held = self.most_held = 0
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def seen(self, handler: _Handler) -> None:
        with self.lock:
            self.requests[handler.path] += 1
            self.last_headers = dict(handler.headers.items())
            self.last_line = handler.requestline

    def use_tls(self, configure: Callable[[ssl.SSLContext], object]) -> None:
        """Use TLS from now on, with the certificate that `configure` puts into the context."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        configure(context)
        context.sni_callback = lambda _sock, name, _context: self.server_names.append(name)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, *_: object) -> None:
        pass  # clients that give up are what the tests are about

    def close(self) -> None:
        self.stopping.set()
        self.release.set()
        self.shutdown()
        self.server_close()
        self._thread.join()
