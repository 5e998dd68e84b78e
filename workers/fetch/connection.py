"""urllib3 connections over a socket that somebody else dialled.

Only `_new_conn` differs: the Host header, the TLS server name and the certificate check keep using
the URL's host. urllib3's own would resolve the name a second time, and could get another answer.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable

from urllib3.connection import HTTPConnection, HTTPSConnection

from kaption.workers.fetch.target import Target

Dial = Callable[[], socket.socket]
"""Gives a connected socket. Raises OSError."""

# It logs a traceback for each malformed header, which any server can send at will.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)


class _Plain(HTTPConnection):
    dial: Dial

    def _new_conn(self) -> socket.socket:
        return self.dial()


class _Secure(HTTPSConnection):
    dial: Dial

    def _new_conn(self) -> socket.socket:
        return self.dial()


def connection_to(
    target: Target, dial: Dial, ssl_context: ssl.SSLContext, timeout_s: float
) -> HTTPConnection:
    """Make a connection that is dialled at its first request; `timeout_s` is between two bytes."""
    connection: _Plain | _Secure
    if target.scheme == "https":
        connection = _Secure(target.host, target.port, timeout=timeout_s, ssl_context=ssl_context)
    else:
        connection = _Plain(target.host, target.port, timeout=timeout_s)
    connection.dial = dial
    return connection
