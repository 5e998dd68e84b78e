"""A server that answers whatever it is sent with the same bytes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread


@contextmanager
def answering(answer: bytes, closes: bool) -> Iterator[int]:
    """Yield its port on loopback. It then closes the connection, or reads on and is silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer_one(client: socket.socket) -> None:
            with client, suppress(OSError):
                while client.recv(65_536):
                    client.sendall(answer)
                    if closes:
                        return

        def serve() -> None:
            with suppress(OSError):
                while True:
                    Thread(target=answer_one, args=(server.accept()[0],), daemon=True).start()

        Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
