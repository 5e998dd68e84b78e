"""An S3 server by TLS that refuses what some servers refuse, before a real SeaweedFS."""

import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from kaption.workers.local.server import HOST
from support.certificates import Certificate
from support.parts import S3Bucket

Refusal = tuple[int, str]
"""Status and S3's error code."""
CHECKSUMS = ("x-amz-checksum-", "x-amz-sdk-checksum-", "x-amz-trailer")


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """What a server answers to what it does not know; None: it does know it."""

    streamed: Refusal
    """To a body whose signature or checksum follows it (aws-chunked)."""
    checksums: Refusal | None = None
    """To a header that names a checksum."""
    condition: Refusal | None = None
    """To a PUT with If-None-Match."""
    ignores_condition: bool = False
    prefix: str | None = None
    """Where the user may list, as policies with a condition on s3:prefix say; None: anywhere."""
    largest: int = 1 << 40
    """Bytes of a body above which a proxy before the server answers 413, without S3's XML."""

    def refusal(self, method: str, path: str, headers: Message, size: int) -> Refusal | None:
        """Return what it answers, or None where it takes the request."""
        parts = urlsplit(path)
        if self.prefix is not None and not parts.path.strip("/").count("/"):
            (listed,) = parse_qs(parts.query).get("prefix", [""])
            if not listed.startswith(self.prefix):
                return 403, "AccessDenied"
        names = [name.lower() for name in headers]
        streamed = headers.get("x-amz-content-sha256", "").startswith("STREAMING")
        if streamed or "aws-chunked" in headers.get("content-encoding", ""):
            return self.streamed
        if any(name.startswith(CHECKSUMS) for name in names):
            return self.checksums
        if method == "PUT" and "if-none-match" in names and self.condition:
            return self.condition
        if method == "PUT" and "content-length" not in names:
            return 411, "MissingContentLength"
        return (413, "") if size > self.largest else None


VENDORS = {
    "R2": Vendor(streamed=(501, "NotImplemented"), checksums=(501, "NotImplemented")),
    "OVH": Vendor(streamed=(400, "InvalidArgument"), checksums=(400, "InvalidArgument")),
    "older Ceph": Vendor(streamed=(400, "XAmzContentSHA256Mismatch")),
    "Wasabi": Vendor(streamed=(411, "MissingContentLength")),
    "denying": Vendor(streamed=(401, "Unauthorized"), checksums=(403, "SignatureDoesNotMatch")),
}
"""Servers on which Kaption works."""
WITHOUT_CONDITIONS = {
    "Backblaze": Vendor(
        streamed=(400, "InvalidArgument"),
        checksums=(400, "InvalidArgument"),
        condition=(501, "NotImplemented"),
    ),
    "Google": Vendor(streamed=(403, "SignatureDoesNotMatch"), ignores_condition=True),
}


class PickyS3:
    """Forwards what `vendor` takes to the server of `bucket`; used in a `with` block.

    `change` may alter a request's body on its way, as a bad network does.
    """

    def __init__(self, bucket: S3Bucket, certificate: Certificate, vendor: Vendor) -> None:
        self.vendor = vendor
        self.owner = bucket.client()
        self.change: Callable[[bytes], bytes] = bytes
        self.busy: Callable[[], bool] = bool
        """Whether a PUT comes too early after another one; 429 then."""
        self.answer: tuple[int, bytes] | None = None
        """What every request gets instead: status and body."""
        self.seen: list[tuple[str, str]] = []
        """Method and path of each request."""
        outer = self

        class Handler(_Forwarding):
            behind, picky = urlsplit(bucket.endpoint).netloc, outer

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        tls = certificate.server_context()
        self._server.socket = tls.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.endpoint = f"https://{HOST}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Forwarding(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behind: str
    picky: PickyS3

    def _any(self) -> None:
        body = self._body()
        self.picky.seen.append((self.command, self.path))
        if self.picky.answer is not None:
            return self._answer(*self.picky.answer, {})
        if self.command == "PUT" and self.picky.busy():
            return self._answer(429, b"", {})
        if refused := self.picky.vendor.refusal(self.command, self.path, self.headers, len(body)):
            status, code = refused
            xml = f"<Error><Code>{code}</Code><Message>not here</Message></Error>"
            return self._answer(status, (xml if code else "<html>no</html>").encode(), {})
        if self.headers.get("If-None-Match") and self.picky.vendor.ignores_condition:
            _, bucket, key = self.path.split("/", 2)
            stored = self.picky.owner.put_object(Bucket=bucket, Key=key, Body=body)
            return self._answer(200, b"", {"ETag": stored["ETag"]})
        return self._forward(self.picky.change(body) if body else b"")

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _any  # noqa: N815  # http.server's names

    def _body(self) -> bytes:
        if "Transfer-Encoding" not in self.headers:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size + 2)[:size])
        self.rfile.readline()
        return b"".join(chunks)

    def _forward(self, body: bytes) -> None:
        connection = http.client.HTTPConnection(self.behind, timeout=60)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() != "expect":
                connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        self._answer(answer.status, answer.read(), dict(answer.getheaders()))
        connection.close()

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                self.send_header(name, value)
        length = headers.get("Content-Length") if self.command == "HEAD" else len(body)
        self.send_header("Content-Length", str(length or 0))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Write nothing."""
