"""Web servers on loopback that do not answer, and one that does. Each runs in a process."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from io import BytesIO
from multiprocessing import get_context
from threading import Thread
from typing import Any

from kaption.workers.fetch.resolver import Endpoint, system_look_up

SLOW_HOSTS = 200
_HANGS_S = 40.0
_OWN_SEEDS = 1_000_000


def serve_images(port: Any, number: int, delay_s: float) -> None:
    """Serve small JPEGs of random colours, each after a delay, and no robots.txt."""
    bodies = [_jpeg(seed, 96) for seed in range(number)]

    def answer(path: str) -> bytes:
        if path.startswith("/to/"):
            return b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http:/%s\r\n\r\n" % (
                path[3:].encode()
            )
        name = path.strip("/")
        if not name.isdecimal():
            return b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
        time.sleep(delay_s)
        body = bodies[int(name)]
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    serve(port, lambda sock, path: sock.sendall(answer(path)))


def _jpeg(seed: int, side: int) -> bytes:
    import numpy as np
    from PIL import Image

    drawn = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    file = BytesIO()
    Image.fromarray(drawn).resize((side, side)).save(file, "JPEG")
    return file.getvalue()


def quick(sock: socket.socket, path: str) -> None:
    """Serve images that no other server has, and no other file."""
    sock.sendall(_own(path))


def slow(sock: socket.socket, path: str) -> None:
    """Serve the same slowly, also that there is no file.

    Of ten hosts six begin after 2 to 5 seconds, three send an answer in ten pieces in 5 seconds,
    and one sends nothing. A host is told by its address.
    """
    host, answer = int(sock.getsockname()[0].rpartition(".")[2]), _own(path)
    if host % 10 == 0:
        quiet(sock, path)
    if host % 10 > 3:
        time.sleep(2.0 + 3.0 * host / SLOW_HOSTS)
        sock.sendall(answer)
        return
    piece = len(answer) // 10 + 1
    for begin in range(0, len(answer), piece):
        time.sleep(0.5)
        sock.sendall(answer[begin : begin + piece])


def _own(path: str) -> bytes:
    name = path.strip("/").removesuffix(".jpg")
    if not name.isdecimal():
        return b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
    body = _jpeg(int(name) + _OWN_SEEDS, 96)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def drip(sock: socket.socket, path: str) -> None:
    """Send one byte of a header each five seconds."""
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000:
        sock.send(bytes([byte]))
        time.sleep(5.0)


def drip_body(sock: socket.socket, path: str) -> None:
    """Send the headers, then one byte of the body each five seconds."""
    sock.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while sock.send(b"x"):
        time.sleep(5.0)


def stall(sock: socket.socket, path: str) -> None:
    """Send the headers and half of the body."""
    sock.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500)
    time.sleep(1000.0)


def busy(sock: socket.socket, path: str) -> None:
    """Ask to wait for an hour."""
    sock.send(b"HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n")


def quiet(sock: socket.socket, path: str) -> None:
    """Read the request and say nothing."""
    time.sleep(1000.0)


def serve(port: Any, act: Callable[[socket.socket, str], object]) -> None:
    """Serve on all loopback addresses. Sends the port."""

    def one(sock: socket.socket) -> None:
        with sock:
            try:
                request = sock.recv(65536).split(b" ")
                act(sock, request[1].decode() if len(request) > 1 else "/")
            except OSError:
                pass

    with socket.create_server(("0.0.0.0", 0), backlog=1024) as server:  # noqa: S104 - all of loopback
        port.send(server.getsockname()[1])
        while True:
            Thread(target=one, args=(server.accept()[0],), daemon=True).start()


def look_up(host: str, port: int, flags: int = 0) -> list[Endpoint]:
    """Names below `hangs.test` hang, those below `one.test` have one address, others their own."""
    if host.endswith("hangs.test"):
        time.sleep(_HANGS_S)
        raise socket.gaierror(socket.EAI_AGAIN, "no name server answers")
    if host.endswith("one.test"):
        return [Endpoint(socket.AF_INET, ("127.0.0.9", port))]
    if host.endswith("slow.test"):
        return [Endpoint(socket.AF_INET, (f"127.0.2.{int(host.partition('.')[0]) + 1}", port))]
    return system_look_up(host, port, flags)


def bad_urls(kind: str, ports: dict[str, int], number: int) -> list[str]:
    """The URLs of one kind of bad servers."""
    pick: dict[str, Callable[[int], str]] = {
        "silent": lambda n: f"127.0.0.2:{ports['quiet']}",
        "blackhole": lambda n: f"127.0.0.1:{ports['blackhole']}",
        "drip": lambda n: f"127.0.0.3:{ports['drip']}",
        "drip-body": lambda n: f"127.0.0.3:{ports['drip_body']}",
        "stall": lambda n: f"127.0.0.4:{ports['stall']}",
        "busy": lambda n: f"127.0.0.5:{ports['busy']}",
        "hosts": lambda n: f"127.0.1.{n % 100 + 1}:{ports['quiet']}",
        "slow-hosts": lambda n: f"{n % SLOW_HOSTS}.slow.test:{ports['slow']}",
        "quick-hosts": lambda n: f"{n % SLOW_HOSTS}.slow.test:{ports['quick']}",
        "names": lambda n: f"{n}.one.test:{ports['quiet']}",
        "dns": lambda n: f"a.hangs.test:{ports['quiet']}",
        "dns-names": lambda n: f"{n % 100}.hangs.test:{ports['quiet']}",
        "gone": lambda n: f"127.0.0.7:{ports['good']}",  # answers 404 at once
    }
    if kind == "moved":
        return [
            f"http://127.0.0.1:{ports['good']}/to/127.0.0.6:{ports['quiet']}/{n}"
            for n in range(number)
        ]
    return [f"http://{pick[kind](n)}/{n}.jpg" for n in range(number)]


KINDS = (
    "silent",
    "blackhole",
    "drip",
    "drip-body",
    "stall",
    "busy",
    "hosts",
    "slow-hosts",
    "names",
    "dns",
    "dns-names",
    "moved",
)


def started(stack: ExitStack, act: Callable[..., None], *arguments: object) -> int:
    """Run a server in a process. Returns its port."""
    context = get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=act, args=(theirs, *arguments), daemon=True)
    process.start()
    stack.callback(process.kill)
    return int(mine.recv())


def blackhole(stack: ExitStack) -> int:
    """A port whose queue is full, so that the system drops each SYN."""
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(3):
        client = stack.enter_context(socket.socket())
        client.setblocking(False)
        client.connect_ex(server.getsockname())
    return int(server.getsockname()[1])
