"""urllib3 connections over a socket that the caller connects.

`_new_conn` is replaced, and the class that reads answers. urllib3's own `_new_conn` would resolve
the host name a second time and could get an address that nobody checked. The Host header, the TLS
server name and the certificate check still use the URL's host.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable

from urllib3.connection import HTTPConnection, HTTPSConnection

from kaption.workers.fetch.answer import Answer
from kaption.workers.fetch.target import Target

Dial = Callable[[], socket.socket]
"""Returns a connected socket. Raises OSError."""

# urllib3 logs a traceback for each malformed header, and any server can send many.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)


class _Plain(HTTPConnection):
    dial: Dial
    response_class = Answer

    def _new_conn(self) -> socket.socket:
        return self.dial()


class _Secure(_Plain, HTTPSConnection):
    """It connects as `_Plain`, and adds TLS."""


def connection_to(
    target: Target, dial: Dial, ssl_context: ssl.SSLContext, timeout_s: float
) -> HTTPConnection:
    """A connection that calls `dial` at its first request. `timeout_s` limits each read."""
    connection: _Plain
    if target.scheme == "https":
        connection = _Secure(target.host, target.port, timeout=timeout_s, ssl_context=ssl_context)
    else:
        connection = _Plain(target.host, target.port, timeout=timeout_s)
    connection.dial = dial
    return connection
