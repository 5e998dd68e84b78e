"""Sends one request to one checked address. The answer is a body or a redirect."""

from __future__ import annotations

import email.utils
import re
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from urllib3.exceptions import ProtocolError
from urllib3.response import HTTPResponse

from kaption.schemas import Reason
from kaption.workers.fetch.body import is_whole_image, plain_body
from kaption.workers.fetch.connection import connection_to
from kaption.workers.fetch.dialer import Dialer
from kaption.workers.fetch.failure import REQUEST_ERRORS, FetchFailure, failure_of
from kaption.workers.fetch.target import Target
from kaption.workers.fetch.watchdog import Guard, Watchdog
from kaption.workers.policy.ingest import FetchPolicy
from kaption.workers.runtime.stage import Reject

REDIRECTS = frozenset({301, 302, 303, 307, 308})
TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 528), 529, 530})
"""520 to 527 and 530 are Cloudflare's: the server behind it does not answer."""
_WHOLE = frozenset(range(200, 300)) - {204, 205}  # these two have no body
_RANGE = re.compile(r"(\d+)-(\d+)(?:/(\d+))?")
_SECONDS = re.compile(
    r"\+?(\d{1,9}(?:\.\d{1,9})?)\d*\s{0,9}(?:s|secs?|seconds?)?(?:\s{0,9}[,;].*)?",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
READ_BYTES = 256 * 1024
_PACE_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class Body:
    """A whole body without content encoding."""

    data: bytes
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """A redirect. `location` is the header as the server sent it."""

    location: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Requester:
    """Sends single requests. Any thread may call `get`."""

    policy: FetchPolicy
    dialer: Dialer
    watchdog: Watchdog
    ssl_context: ssl.SSLContext

    def get(
        self,
        target: Target,
        deadline: float,
        referer: str | None = None,
        lanes: set[str] | None = None,
        cookie: str = "",
    ) -> Body | Moved:
        """Send one GET. It ends at `deadline` (time.monotonic) whatever the server does.

        A server that sends nothing ends it before, see `FetchPolicy.answer_timeout_s`. `cookie` is
        the Cookie header. Raises Reject and FetchFailure. Raises Later as `Shared.begin`, which
        gets `lanes`, and if too many look-ups hang.
        """
        guard: Guard | None = None
        response: HTTPResponse | None = None
        address = ""
        outcome: FetchFailure | bool = False
        first_byte = min(deadline, time.monotonic() + self.policy.answer_timeout_s)

        def dial() -> socket.socket:
            nonlocal guard, address
            sock, address = self.dialer.dial(target, first_byte, lanes)
            guard = self.watchdog.guard(sock, first_byte)
            return sock

        def put_off() -> None:
            if guard is not None:
                guard.deadline = min(deadline, time.monotonic() + self.policy.answer_timeout_s)

        # If no time is left, `dial` raises the error.
        between_bytes = max(deadline - time.monotonic(), 0.001)
        connection = connection_to(target, dial, self.ssl_context, between_bytes)
        try:
            headers = self._headers(target, referer, cookie)
            connection.request("GET", target.path, headers=headers, preload_content=False)
            response = connection.getresponse()
            outcome = not (guard and guard.expired)
            put_off()
            answer = self._answer(target, response, put_off)
        except (Reject, FetchFailure, *REQUEST_ERRORS) as error:
            if guard is not None and guard.expired:
                failure = self._out_of_time(target, deadline)
            elif isinstance(error, (Reject, FetchFailure)):
                raise
            else:
                failure = failure_of(error, target.host, answered=response is not None)
            if outcome is not True and failure.reject.reason is Reason.FETCH_TIMEOUT:
                outcome = failure
            raise failure from error
        finally:
            connection.close()
            if guard is not None:
                guard.release()
            if address:
                self.dialer.shared.end(address, target.host, outcome)
        # http.client takes a connection that the watchdog ended for the end of headers or body.
        if guard is not None and guard.expired:
            raise self._out_of_time(target, deadline)
        return answer

    def _headers(self, target: Target, referer: str | None, cookie: str) -> dict[str, str]:
        headers = {
            # An image is compressed already. An encoding that the server uses in spite of this
            # header is decoded all the same.
            "Accept-Encoding": "identity",
            "Accept": "image/*,*/*;q=0.5",
            "User-Agent": self.policy.user_agent,
            # Only one request is sent. A body without length ends with the connection.
            "Connection": "close",
            "Host": target.authority,
        }
        if referer:
            headers["Referer"] = referer
        if cookie:
            headers["Cookie"] = cookie
        return headers

    def _out_of_time(self, target: Target, deadline: float) -> FetchFailure:
        why = "total time used up"
        if time.monotonic() < deadline:
            why = f"silent for {self.policy.answer_timeout_s:g} s"
        reject = Reject(Reason.FETCH_TIMEOUT, f"{target.host}: {why}")
        return FetchFailure(reject, again=False, silent=True)

    def _answer(
        self, target: Target, response: HTTPResponse, put_off: Callable[[], None]
    ) -> Body | Moved:
        status = response.status
        headers = tuple((name.lower(), value) for name, value in response.headers.items())
        location = first(response, "Location")
        if status in REDIRECTS and location:
            return Moved(location, headers)
        if status not in _WHOLE or not _is_whole(response):
            reject = Reject(Reason.FETCH_STATUS, f"{target.host} answered {status}")
            if status in TRANSIENT_STATUS:
                raise FetchFailure(reject, again=True, after_s=retry_after(response))
            raise reject
        return Body(self._body(target, response, put_off), headers)

    def _body(self, target: Target, response: HTTPResponse, put_off: Callable[[], None]) -> bytes:
        limit = self.policy.max_bytes
        announced = int(first(response, "Content-Length") or 0)
        if announced > limit:
            raise Reject(Reason.TOO_LARGE, f"{target.host}: {announced} bytes, {limit} at most")
        raw = bytearray()
        due = _PACE_BYTES
        try:
            while part := response.read1(READ_BYTES, decode_content=False):
                raw += part
                if len(raw) >= due:
                    due = len(raw) + _PACE_BYTES
                    put_off()
                if len(raw) > limit:
                    raise Reject(Reason.TOO_LARGE, f"{target.host}: more than {limit} bytes")
        except ProtocolError:
            # Some servers announce more bytes than the image has; browsers show it.
            if not is_whole_image(raw):
                raise
        data = plain_body(bytes(raw), response.headers.get("Content-Encoding", ""), limit)
        if len(data) > limit:
            raise Reject(Reason.TOO_LARGE, f"{target.host}: more than {limit} bytes")
        if not data:
            raise Reject(Reason.FETCH_FAILED, f"{target.host}: empty body")
        return data


def first(response: HTTPResponse, name: str) -> str:
    """The first header of that name, or an empty string. `headers.get` would join several."""
    # Not every white space: half of a UTF-8 character may look like one.
    return next(iter(response.headers.getlist(name)), "").strip(" \t")


def _is_whole(response: HTTPResponse) -> bool:
    """Whether a 206, which nobody asked for, has all bytes. Any other answer has them.

    Where it does not say which bytes it has, the image tells whether it is whole.
    """
    found = _RANGE.search(first(response, "Content-Range"))
    if response.status != 206 or found is None:
        return True
    start, end, size = found.groups()
    return int(start) == 0 and size in (None, str(int(end) + 1))


def retry_after(response: HTTPResponse) -> float | None:
    """Seconds from delay-seconds or an HTTP date (RFC 9110, 10.2.3), or None if it is neither.

    Servers also write quotes, a fraction, a unit and a date of ISO 8601.
    """
    value = first(response, "Retry-After").strip(" \"'")
    if seconds := _SECONDS.fullmatch(value):
        return float(seconds[1])
    with suppress(ValueError, OverflowError):
        date = _date(value)
        return max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - time.time())
    return None


def _date(value: str) -> datetime:
    try:
        return email.utils.parsedate_to_datetime(value)
    except ValueError:
        return datetime.fromisoformat(value)
