"""Reads the head of an answer as browsers do, where http.client gives up or reads it wrongly.

http.client takes the first malformed header line for the end of the headers, so a chunked body
would come out with its chunk sizes in it. It passes over `100 Continue` alone, and without end.
"""

from __future__ import annotations

import http.client
import re

HEAD_BYTES = 256 * 1024
"""Most bytes before the body, interim answers included. Chrome has the same limit."""
INTERIM_ANSWERS = 16
_EMPTY = (204, 304)
"""Without a body, whatever length they name."""

# Browsers pass over up to four bytes before it, such as a byte order mark, and any version.
_STATUS_LINE = re.compile(
    rb".{0,4}?HTTP(?:/\d+(?:\.\d+)?)?[ \t]+(\d{3})(?!\d)([^\r\n]{0,200})", re.IGNORECASE
)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The content codings that IANA registers. Any other name (aws-chunked, UTF-8, none) is a mistake of
# the server, and its body is plain: browsers show it.
_CODINGS = frozenset(
    b"aes128gcm br compress dcb dcz deflate exi gzip pack200-gzip x-compress x-gzip zstd".split()
)
_LENGTH = re.compile(rb"\d{1,18}")


class Answer(http.client.HTTPResponse):
    """An answer whose body http.client reads, and not its head."""

    def begin(self) -> None:
        """Read the head. Raises HTTPException if there is none, or if it does not end."""
        if getattr(self, "headers", None) is not None:
            return  # begun already
        self.status, self.reason, fields = self._head()
        self.code, self.version = self.status, 11
        # http.client has them parsed as an e-mail, which takes a sixth of a fetch.
        self.headers = self.msg = http.client.HTTPMessage()
        for name, value in fields:
            self.headers[name.decode()] = value.decode("latin-1")  # adds, and replaces none
        self.chunked = self.headers.get("Transfer-Encoding") == "chunked"
        self.chunk_left = None
        length = self.headers.get("Content-Length")
        self.length = None if length is None or self.chunked else int(length)
        if self.status in _EMPTY:
            self.length = 0
        self.will_close = True  # a connection gets one request

    def _safe_read(self, amt: int) -> bytes:
        """As http.client reads it. It asks here for the line break behind a chunk, too: browsers
        take one without a carriage return.
        """
        if self.chunked and amt == len(b"\r\n"):
            return self.fp.readline(amt)
        found: bytes = super()._safe_read(amt)  # type: ignore[misc] # typeshed leaves it out
        return found

    def _head(self) -> tuple[int, str, list[tuple[bytes, bytes]]]:
        left = HEAD_BYTES
        for _ in range(INTERIM_ANSWERS + 1):
            lines: list[bytes] = []
            while True:
                line = self.fp.readline(left + 1)
                left -= len(line)
                if left < 0:
                    raise http.client.HTTPException(f"more than {HEAD_BYTES} bytes of headers")
                if line.strip(b"\r\n"):
                    lines.append(line.rstrip(b"\r\n"))
                elif lines or not line:
                    break
            if not lines:
                raise http.client.RemoteDisconnected("closed connection without response")
            found = _STATUS_LINE.match(lines[0])
            if found is None or (status := int(found[1])) < 100:
                raise http.client.BadStatusLine(repr(lines[0][:100]))
            if status >= 200:
                return status, found[2].strip().decode("latin-1"), _in_order(lines[1:])
        raise http.client.HTTPException(f"more than {INTERIM_ANSWERS} interim answers")


def _in_order(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    """The well-formed headers, folded lines joined, and one length at most: it comes first."""
    fields: list[tuple[bytes, bytes]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and fields:
            name, value = fields[-1]
            fields[-1] = (name, value + b" " + line.strip())
            continue
        name, colon, value = line.partition(b":")
        if colon and _NAME.fullmatch(name.rstrip()):
            fields.append((name.rstrip(), value.strip(b" \t")))
    lengths = {
        part.strip()
        for name, value in fields
        if name.lower() == b"content-length"
        for part in value.split(b",")
    }
    kept = [
        (name, re.sub(rb"[\r\0]", b" ", in_effect))
        for name, value in fields
        if (in_effect := _in_effect(name.lower(), value)) is not None
    ]
    kept.sort(key=lambda field: field[0].lower() != b"transfer-encoding")
    # Several lengths contradict each other: the body then ends with the connection.
    if len(lengths) == 1 and _LENGTH.fullmatch(length := lengths.pop()):
        kept.insert(0, (b"Content-Length", length))
    return kept


def _in_effect(name: bytes, value: bytes) -> bytes | None:
    """The value of a header without codings that mean nothing; None if nothing is left of it."""
    if name == b"content-length":
        return None
    if name == b"transfer-encoding" and b"chunked" in value.lower():
        return b"chunked"
    if name == b"content-encoding":
        given = [coding.strip().lower() for coding in value.split(b",")]
        return b", ".join(coding for coding in given if coding in _CODINGS) or None
    return value
