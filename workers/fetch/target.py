"""Parses a URL once, as browsers do. All checks and the connection use the same parts of it.

What is valid in a path or a query stays as it is written: a signature over it would not fit another
spelling.
"""

from __future__ import annotations

from dataclasses import dataclass

from kaption.schemas import Reason
from kaption.schemas.address import parsed
from kaption.schemas.limits import URL_CHARS
from kaption.workers.runtime.stage import Reject

_PORTS = {"http:": 80, "https:": 443}
_NAME_CHARS = 253
_LABEL_CHARS = 63


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in its parts. `host` is ASCII (IDNA), without brackets; `path` includes the query."""

    url: str
    scheme: str
    host: str
    port: int
    path: str
    authority: str
    """Host and port as the Host header names them: a default port is left out."""

    @property
    def server(self) -> str:
        """Host and port: what has its own limits and its own failures."""
        return f"{self.host}:{self.port}"

    def join(self, location: str) -> str:
        """The URL that a Location header in this target's answer names. Raises as `read_target`.

        http.client gives a header as Latin-1. Servers write UTF-8, and few write Latin-1.
        """
        raw = location.encode("latin-1", "replace")
        try:
            location = raw.decode()
        except UnicodeDecodeError:
            location = raw.decode("latin-1")
        return _target(location, self.url).url

    def referer(self, page_url: str | None) -> str | None:
        """The Referer header of an image on that page (strict-origin-when-cross-origin)."""
        try:
            page = read_target(page_url or "")
        except Reject:
            return None
        if (page.scheme, self.scheme) == ("https", "http"):
            return None
        origin = f"{page.scheme}://{page.authority}/"
        return page.url if (page.scheme, page.server) == (self.scheme, self.server) else origin


def read_target(url: str) -> Target:
    """Parse and normalise. Raises Reject (fetch_denied, fetch_failed)."""
    return _target(url, None)


def server_of(url: str) -> str | None:
    """The server of a URL, or None if the URL is refused."""
    try:
        return read_target(url).server
    except Reject:
        return None


def _target(url: str, base: str | None) -> Target:
    parts = parsed(url, base)
    if parts is None:
        if base is None and ":" not in url.partition("/")[0] and parsed(url, "http://a/"):
            raise Reject(Reason.FETCH_DENIED, f"no scheme in the URL {url[:500]!r}")
        raise Reject(Reason.FETCH_FAILED, f"not a URL: {url[:500]!r}")
    scheme, host = parts.protocol, parts.hostname
    if scheme not in _PORTS:
        name = scheme.rstrip(":")
        raise Reject(Reason.FETCH_DENIED, f"scheme {name!r}: only http and https")
    if parts.username or parts.password:
        raise Reject(Reason.FETCH_DENIED, "user name or password in the URL")
    if parts.port == "0":
        raise Reject(Reason.FETCH_FAILED, "port 0 in the URL")
    if not host.startswith("["):
        _check_name(host)
    parts.hash = ""
    whole = parts.href
    if len(whole) > URL_CHARS:
        raise Reject(Reason.FETCH_FAILED, f"URL of {len(whole)} characters, {URL_CHARS} at most")
    return Target(
        url=whole,
        scheme=scheme.rstrip(":"),
        # The dot that ends a full name is no part of it for TLS and certificates.
        host=host.strip("[]").removesuffix("."),
        port=int(parts.port or _PORTS[scheme]),
        path=whole[len(parts.origin) :],
        authority=parts.host,
    )


def _check_name(host: str) -> None:
    """Raise Reject for a name that no name server can be asked for."""
    labels = host.removesuffix(".").split(".")
    if len(host) > _NAME_CHARS or not all(0 < len(label) <= _LABEL_CHARS for label in labels):
        raise Reject(Reason.FETCH_FAILED, f"no host name: {host[:300]!r}")
