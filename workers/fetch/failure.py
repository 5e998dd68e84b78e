"""Sorts the errors of one request: transient, or the record's rejection."""

from __future__ import annotations

import http.client
import socket
import ssl

import urllib3.exceptions

from kaption.schemas import Reason
from kaption.workers.runtime.stage import Reject

REQUEST_ERRORS = (
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,  # http.client cannot send it, for example a header that is not Latin-1
)
"""Everything that urllib3 and http.client raise because of a server or a URL."""

_TIME_OUTS = (TimeoutError, urllib3.exceptions.TimeoutError)
_DROPPED = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)
_TRUST = (ssl.SSLError, ssl.CertificateError, urllib3.exceptions.SSLError)


class TransientError(Exception):
    """The request may succeed at another attempt.

    `reject` is the record's rejection if no attempt is left. `after_s` is the server's Retry-After
    in seconds.
    """

    def __init__(self, reject: Reject, after_s: float | None = None) -> None:
        super().__init__(str(reject))
        self.reject = reject
        self.after_s = after_s


def failure_of(error: Exception, host: str) -> Reject | TransientError:
    """Sort one of REQUEST_ERRORS.

    Transient errors are time-outs, dropped connections, incomplete bodies and a name server that
    asks to try again. A refused connection, an unknown name or a bad certificate is final: another
    attempt a second later would fail too.
    """
    causes = _chain(error)
    if any(isinstance(cause, _TIME_OUTS) for cause in causes):
        return TransientError(Reject(Reason.FETCH_TIMEOUT, f"{host}: {_text(error)}"))
    reject = Reject(Reason.FETCH_FAILED, f"{host}: {_text(error)}")
    if any(isinstance(cause, _TRUST) for cause in causes):
        return reject
    for cause in causes:
        if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN:
            return TransientError(reject)
        if isinstance(cause, (*_DROPPED, http.client.IncompleteRead)):
            return TransientError(reject)
    return reject


def _chain(error: BaseException) -> list[BaseException]:
    """The error, the errors that caused it, and the errors that urllib3 passes as arguments."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or current in found:
            continue
        found.append(current)
        waiting += [current.__cause__, *(a for a in current.args if isinstance(a, BaseException))]
    return found


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
