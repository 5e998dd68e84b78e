"""Certificates for servers on 127.0.0.1: good ones, and one that has expired."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Certificate:
    """PEM files. The key is in PKCS#8, the only form that Kafka reads."""

    certificate: Path
    key: Path
    both: Path
    """Key and certificate in one file, as Kafka wants its keystore."""

    def server_context(self) -> ssl.SSLContext:
        """For a server of the test's own."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Authority:
    """Signs certificates and writes them below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def server(self, *, expired: bool = False) -> Certificate:
        """For a server on HOST."""
        ended = datetime.now(UTC) - timedelta(days=1) if expired else None
        name = "expired" if expired else "server"
        return self._write(name, self._ca.issue_cert(HOST, not_after=ended))

    def client(self, name: str, password: str | None = None) -> Certificate:
        """For a client that the server knows as ``CN=name``; its key encrypted with `password`."""
        issued = self._ca.issue_cert(f"{name}.example.org", common_name=name)
        return self._write(name, issued, password)

    def _write(
        self, name: str, issued: trustme.LeafCert, password: str | None = None
    ) -> Certificate:
        key = load_pem_private_key(issued.private_key_pem.bytes(), password=None)
        encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
        paths = [self._folder / f"{name}.{kind}.pem" for kind in ("certificate", "key", "both")]
        for path, content in zip(paths, (chain, key_pem, key_pem + chain), strict=True):
            path.write_bytes(content)
        return Certificate(*paths)
