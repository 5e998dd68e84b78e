"""Parses a URL once. All checks and the connection use the same parts of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from kaption.schemas import Reason
from kaption.schemas.limits import URL_CHARS
from kaption.workers.runtime.stage import Reject

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in its parts. `host` is ASCII (IDNA), without brackets; `path` includes the query."""

    url: str
    scheme: str
    host: str
    port: int
    path: str

    def join(self, location: str) -> str:
        """The URL that a Location header in this target's answer names. Raises Reject."""
        try:
            return urljoin(self.url, location.strip())
        except ValueError as error:
            raise Reject(
                Reason.FETCH_FAILED, f"{self.host} redirects to an invalid URL: {error}"
            ) from error


def read_target(url: str) -> Target:
    """Parse and normalise. Raises Reject (fetch_denied, fetch_failed)."""
    url = url.strip()
    if _CONTROL.search(url):
        raise Reject(Reason.FETCH_DENIED, "control character in the URL")
    try:
        parsed = parse_url(url)
    except (LocationParseError, ValueError) as error:
        raise Reject(Reason.FETCH_FAILED, f"not a URL: {error}"[:500]) from error
    if parsed.scheme not in _PORTS:
        raise Reject(Reason.FETCH_DENIED, f"scheme {parsed.scheme!r}: only http and https")
    if parsed.auth is not None:
        raise Reject(Reason.FETCH_DENIED, "user name or password in the URL")
    if not parsed.host or not parsed.host.strip("[]."):
        raise Reject(Reason.FETCH_FAILED, "no host in the URL")
    if parsed.port == 0:
        raise Reject(Reason.FETCH_FAILED, "port 0 in the URL")
    whole = parsed._replace(fragment=None).url
    if len(whole) > URL_CHARS:
        raise Reject(Reason.FETCH_FAILED, f"URL of {len(whole)} characters, {URL_CHARS} at most")
    return Target(
        url=whole,
        scheme=parsed.scheme,
        host=parsed.host.strip("[]"),
        port=parsed.port or _PORTS[parsed.scheme],
        path=parsed.request_uri,
    )
