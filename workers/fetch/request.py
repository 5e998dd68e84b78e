"""Sends one request to one checked address. The answer is a body or a redirect."""

from __future__ import annotations

import email.utils
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass

from urllib3.response import HTTPResponse

from kaption.schemas import Reason
from kaption.workers.fetch.addresses import AddressRules
from kaption.workers.fetch.connection import connection_to
from kaption.workers.fetch.failure import REQUEST_ERRORS, TransientError, failure_of
from kaption.workers.fetch.resolver import Endpoint, Resolver
from kaption.workers.fetch.target import Target
from kaption.workers.fetch.watchdog import Guard, Watchdog
from kaption.workers.policy import FetchPolicy
from kaption.workers.runtime.stage import Reject

REDIRECTS = frozenset({301, 302, 303, 307, 308})
TRANSIENT_STATUS = frozenset({429, 500, 502, 503, 504})
READ_BYTES = 256 * 1024
CONNECT_TIMEOUT_S = 5.0
"""For one address: a host may have several, and the first one may not answer."""


@dataclass(frozen=True, slots=True)
class Body:
    """A 200 answer without content encoding."""

    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Moved:
    """A redirect. `location` is the header as the server sent it."""

    location: str


@dataclass(frozen=True, slots=True)
class Requester:
    """Sends single requests. Any thread may call `get`."""

    policy: FetchPolicy
    rules: AddressRules
    resolver: Resolver
    watchdog: Watchdog
    ssl_context: ssl.SSLContext

    def get(self, target: Target, deadline: float) -> Body | Moved:
        """Send one GET. It ends at `deadline` (time.monotonic) whatever the server does.

        Raises Reject and TransientError.
        """
        guard: Guard | None = None

        def dial() -> socket.socket:
            nonlocal guard
            sock = self._connect(target, deadline)
            guard = self.watchdog.guard(sock, deadline)
            return sock

        # If no time is left, `dial` raises the error.
        between_bytes = max(deadline - time.monotonic(), 0.001)
        connection = connection_to(target, dial, self.ssl_context, between_bytes)
        try:
            connection.request(
                "GET",
                target.path,
                headers={
                    # An image is compressed already. An encoding that the server uses in spite of
                    # this header is decoded all the same.
                    "Accept-Encoding": "identity",
                    "Accept": "image/*,*/*;q=0.5",
                    "User-Agent": self.policy.user_agent,
                },
                preload_content=False,
            )
            answer = self._answer(target, connection.getresponse())
        except (Reject, *REQUEST_ERRORS) as error:
            if guard is not None and guard.expired:
                raise _out_of_time(target) from error
            if isinstance(error, Reject):
                raise
            raise failure_of(error, target.host) from error
        finally:
            connection.close()
            if guard is not None:
                guard.release()
        # http.client takes a connection that the watchdog ended for the end of headers or body.
        if guard is not None and guard.expired:
            raise _out_of_time(target)
        return answer

    def _connect(self, target: Target, deadline: float) -> socket.socket:
        endpoints = self.resolver.resolve(target.host, target.port, _left(deadline))
        for endpoint in endpoints:
            refused = self.rules.refusal(endpoint.address)
            if refused is not None:
                raise Reject(Reason.FETCH_DENIED, f"{target.host} is {endpoint.address}: {refused}")
        failed: OSError = OSError("the name has no address")
        for endpoint in endpoints:
            try:
                return self._dial(endpoint, deadline)
            except OSError as error:
                failed = error
        raise failed

    def _dial(self, endpoint: Endpoint, deadline: float) -> socket.socket:
        sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
        try:
            sock.settimeout(min(CONNECT_TIMEOUT_S, _left(deadline)))
            sock.connect(endpoint.sockaddr)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(_left(deadline))
        except OSError:
            sock.close()
            raise
        return sock

    def _answer(self, target: Target, response: HTTPResponse) -> Body | Moved:
        status = response.status
        location = response.headers.get("Location")
        if status in REDIRECTS and location:
            return Moved(location)
        if status != 200:
            reject = Reject(Reason.FETCH_STATUS, f"{target.host} answered {status}")
            if status in TRANSIENT_STATUS:
                raise TransientError(reject, _retry_after(response.headers.get("Retry-After")))
            raise reject
        data = self._body(target, response)
        content_type = response.headers.get("Content-Type", "")
        return Body(data, content_type.partition(";")[0].strip().lower()[:256])

    def _body(self, target: Target, response: HTTPResponse) -> bytes:
        limit = self.policy.max_bytes
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        known = {"identity", "", *response.CONTENT_DECODERS}
        if any(coding.strip() not in known for coding in encoding.split(",")):
            raise Reject(Reason.FETCH_FAILED, f"{target.host}: content encoding {encoding[:100]!r}")
        announced = response.headers.get("Content-Length", "")
        if announced.isdecimal() and len(announced) < 20 and int(announced) > limit:
            raise Reject(Reason.TOO_LARGE, f"{target.host}: {announced} bytes, {limit} at most")
        parts: list[bytes] = []
        size = 0
        while part := response.read(READ_BYTES):
            size += len(part)
            if size > limit:
                raise Reject(Reason.TOO_LARGE, f"{target.host}: more than {limit} bytes")
            parts.append(part)
        if not size:
            raise Reject(Reason.FETCH_FAILED, f"{target.host}: empty body")
        return b"".join(parts)


def _out_of_time(target: Target) -> TransientError:
    return TransientError(Reject(Reason.FETCH_TIMEOUT, f"{target.host}: total time used up"))


def _left(deadline: float) -> float:
    """Seconds until the deadline. Raises TimeoutError when it has passed."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("total time used up")
    return left


def _retry_after(value: str | None) -> float | None:
    """Seconds from delay-seconds or an HTTP date (RFC 9110, 10.2.3), or None if it is neither."""
    if value is None:
        return None
    value = value.strip()
    if value.isdecimal() and len(value) < 10:
        return float(value)
    with suppress(ValueError, OverflowError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    return None
