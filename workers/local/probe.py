"""Readiness probes: one real request for each protocol, because an open port proves little.

Each function returns if the server answers correctly, and raises OSError if it does not.
"""

import socket
import struct

from kaption.workers.local.server import HOST

_TIMEOUT_S = 2.0
_API_VERSIONS = 18


def kafka_answers(port: int) -> None:
    """Send ApiVersions (version 0) and check the correlation id and the error code."""
    correlation = 7
    request = struct.pack(">hhih", _API_VERSIONS, 0, correlation, -1)
    with socket.create_connection((HOST, port), _TIMEOUT_S) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer = _receive(connection, 10)
    _, echoed, error = struct.unpack(">iih", answer)
    if echoed != correlation or error != 0:
        raise OSError(f"port {port} answers ApiVersions with error {error}")


def redis_answers(port: int) -> None:
    """Send PING and expect PONG."""
    with socket.create_connection((HOST, port), _TIMEOUT_S) as connection:
        connection.sendall(b"PING\r\n")
        if _receive(connection, 7) != b"+PONG\r\n":
            raise OSError(f"port {port} does not answer PING")


def http_answers(port: int, path: str = "/", statuses: frozenset[int] = frozenset({200})) -> None:
    """GET `path` and expect one of `statuses`."""
    with socket.create_connection((HOST, port), _TIMEOUT_S) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {HOST}:{port}\r\n\r\n".encode())
        status = _receive(connection, 12)[9:12]
    if status not in {str(code).encode() for code in statuses}:
        raise OSError(f"port {port} answers {path} with {status.decode(errors='replace')}")


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionError("the server closed the connection within its answer")
        data += piece
    return data
