"""The fault proxy does to connections what it says."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import redis

from faults import Direction, FaultProxy
from kaption.workers.local import Valkey


@pytest.fixture
def proxy(valkey: Valkey) -> Iterator[FaultProxy]:
    """Give a proxy before Valkey."""
    with FaultProxy(target=valkey.ports[0]) as proxy:
        yield proxy


@pytest.fixture
def raw(proxy: FaultProxy) -> Iterator[socket.socket]:
    """Give a connection through the proxy that has answered once."""
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as connection:
        assert ping(connection) == b"+PONG\r\n"
        yield connection


def ping(connection: socket.socket) -> bytes:
    """Ask and read the answer."""
    connection.sendall(b"PING\r\n")
    return connection.recv(100)


def connect_and_ping(port: int) -> bytes:
    """Ask on a new connection."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        return ping(connection)


def test_data_passes_unchanged_both_ways(proxy: FaultProxy) -> None:
    value = bytes(range(256)) * 4096
    with redis.Redis(port=proxy.port) as client:
        client.set("proxy:large", value)

        assert client.get("proxy:large") == value


def test_cut_resets_open_connections_and_accepts_new_ones(
    proxy: FaultProxy, raw: socket.socket
) -> None:
    proxy.cut()

    with pytest.raises(ConnectionResetError):
        raw.recv(1)
    assert connect_and_ping(proxy.port) == b"+PONG\r\n"


def test_refuse_resets_old_and_new_connections_until_restored(
    proxy: FaultProxy, raw: socket.socket
) -> None:
    proxy.refuse()

    with pytest.raises(ConnectionResetError):
        raw.recv(1)
    with pytest.raises(ConnectionResetError):
        connect_and_ping(proxy.port)
    proxy.restore()
    assert connect_and_ping(proxy.port) == b"+PONG\r\n"


def test_freeze_is_silent_and_loses_nothing(proxy: FaultProxy, raw: socket.socket) -> None:
    proxy.freeze()
    raw.settimeout(0.3)
    with pytest.raises(TimeoutError):
        ping(raw)

    proxy.restore()
    raw.settimeout(5)

    assert raw.recv(100) == b"+PONG\r\n"


def test_frozen_answers_then_cut_is_a_request_done_without_an_answer(
    proxy: FaultProxy, valkey: Valkey
) -> None:
    with redis.Redis(port=valkey.ports[0]) as direct:
        direct.delete("proxy:lost")
        proxy.freeze(Direction.ANSWERS)
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as connection:
            connection.sendall(b"SET proxy:lost done\r\n")
            deadline = time.monotonic() + 5
            while direct.get("proxy:lost") is None and time.monotonic() < deadline:
                time.sleep(0.01)
            proxy.cut()

            with pytest.raises(ConnectionResetError):
                connection.recv(1)
        assert direct.get("proxy:lost") == b"done"


def test_delay_holds_each_answer_back(proxy: FaultProxy, raw: socket.socket) -> None:
    proxy.delay(0.2)
    started = time.monotonic()

    assert ping(raw) == b"+PONG\r\n"

    # A lower bound only: request and answer were each held once.
    assert time.monotonic() - started >= 0.4


def test_a_server_that_is_down_looks_down() -> None:
    with Valkey() as server, FaultProxy(target=server.ports[0]) as proxy:
        assert connect_and_ping(proxy.port) == b"+PONG\r\n"
        server.kill9()

        with pytest.raises(ConnectionResetError):
            connect_and_ping(proxy.port)


def test_the_block_ends_with_connections_still_open(valkey: Valkey) -> None:
    before = threading.active_count()
    with FaultProxy(target=valkey.ports[0]) as proxy:
        connection = socket.create_connection(("127.0.0.1", proxy.port), 5)
        ping(connection)
        proxy.freeze()

    assert threading.active_count() == before
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    connection.close()
