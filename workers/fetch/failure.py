"""Sorts the errors of one request."""

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


class FetchFailure(Exception):
    """The server did not answer, or it answered that it cannot serve now."""

    def __init__(
        self, reject: Reject, *, again: bool, silent: bool = False, after_s: float | None = None
    ) -> None:
        """`reject` is the record's rejection if the URL is not asked again.

        `again`: another attempt soon may succeed. `silent`: no HTTP answer came. `after_s` is the
        server's Retry-After in seconds.
        """
        super().__init__(str(reject))
        self.reject = reject
        self.again = again
        self.silent = silent
        self.after_s = after_s


def failure_of(error: Exception, host: str, *, answered: bool) -> FetchFailure:
    """Sort one of REQUEST_ERRORS. `answered`: the head of an answer was read.

    Another attempt is for dropped connections, incomplete bodies and a name server that asks to try
    again. After a time-out it would take as long again. A refused connection, an unknown name or a
    bad certificate would fail again a second later.
    """
    causes = _chain(error)
    if any(isinstance(cause, _TIME_OUTS) for cause in causes):
        reject = Reject(Reason.FETCH_TIMEOUT, f"{host}: {_text(error)}")
        return FetchFailure(reject, again=False, silent=True)
    trusted = not any(isinstance(cause, _TRUST) for cause in causes)
    again = trusted and any(
        isinstance(cause, (*_DROPPED, http.client.IncompleteRead))
        or (isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN)
        for cause in causes
    )
    reject = Reject(Reason.FETCH_FAILED, f"{host}: {_text(error)}")
    return FetchFailure(reject, again=again, silent=not answered)


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
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]
