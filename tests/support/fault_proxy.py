"""A TCP proxy on loopback that misbehaves on demand."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from enum import Enum
from threading import Thread
from typing import Self

from kaption.workers.local.server import HOST, free_ports

_CHUNK = 65_536
# Closing with a linger time of zero sends a reset instead of a farewell.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Direction(Enum):
    """What flows through the proxy."""

    REQUESTS = "client to server"
    ANSWERS = "server to client"


class FaultProxy:
    """Forwards a local port to another until told otherwise; used in a `with` block.

    Every method may be called from any thread and has taken effect when it returns. For Apache
    Kafka give `port=kafka.proxy_port` and `target=kafka.proxied_port`, and let the clients start
    from `kafka.proxy_bootstrap`: they follow the address that the broker advertises. With `tls`
    (a server's context) clients speak TLS to it, which the server behind need not know.
    """

    def __init__(
        self, target: int, port: int | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.target = target
        self._tls = tls
        self.port = port if port is not None else free_ports(1)[0]
        self._delay_s = 0.0
        self._refusing = False
        self._open = {direction: asyncio.Event() for direction in Direction}
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)

    @property
    def address(self) -> str:
        """`host:port` for clients."""
        return f"{HOST}:{self.port}"

    def cut(self) -> None:
        """Reset every open connection; what was on its way is lost. New ones are welcome."""
        self._do(self._reset_all)

    def refuse(self) -> None:
        """Cut, and reset every new connection until `restore`."""
        self._do(lambda: setattr(self, "_refusing", True))
        self.cut()

    def freeze(self, *directions: Direction) -> None:
        """Hold what flows, in both directions unless told which; connections stay open.

        Answers alone frozen and then cut is a request that was done and whose answer was lost.
        """
        for direction in directions or Direction:
            self._do(self._open[direction].clear)

    def delay(self, seconds: float) -> None:
        """Hold each piece of data (up to 64 KiB) for `seconds` before it goes on."""
        self._do(lambda: setattr(self, "_delay_s", seconds))

    def restore(self) -> None:
        """End every fault; what was frozen flows on."""
        self._do(self._end_faults)

    def _end_faults(self) -> None:
        self._refusing = False
        self._delay_s = 0.0
        for gate in self._open.values():
            gate.set()

    def _reset_all(self) -> None:
        for writer in tuple(self._writers):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            return _reset(writer)
        try:
            there = await asyncio.open_connection(HOST, self.target)
        except OSError:
            return _reset(writer)
        pair = {writer, there[1]}
        self._writers |= pair
        try:
            await asyncio.gather(
                self._pump(reader, there[1], Direction.REQUESTS),
                self._pump(there[0], writer, Direction.ANSWERS),
            )
        except OSError:
            # One side is gone; a proxy has nothing better to tell the other.
            pass
        finally:
            self._writers -= pair
            for end in pair:
                end.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction
    ) -> None:
        while data := await reader.read(_CHUNK):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            await self._open[direction].wait()
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    def _do(self, action: Callable[[], object]) -> None:
        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self._loop).result()

    def __enter__(self) -> Self:
        self._thread.start()
        self.restore()
        listen = asyncio.start_server(self._serve, HOST, self.port, ssl=self._tls)
        self._server = asyncio.run_coroutine_threadsafe(listen, self._loop).result()
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _shut(self) -> None:
        self._server.close()
        self._reset_all()
        pumps = asyncio.all_tasks() - {asyncio.current_task()}
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None and not writer.transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
