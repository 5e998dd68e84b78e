"""The servers that tests run against, or the reason why there is none."""

import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import boto3
import pytest
from pydantic import SecretStr

from kaption.connections.settings import StoreConnection
from kaption.workers.local import LocalServer, MissingServer
from tools.servers import SeaweedFs

S = TypeVar("S", bound=LocalServer)


@dataclass(frozen=True)
class S3Bucket:
    """An empty bucket on an S3 server."""

    endpoint: str
    access_key: str
    secret_key: str
    name: str
    ca_file: str | None = None

    @classmethod
    def on(cls, server: SeaweedFs, ca_file: str | None = None) -> Self:
        """Make one of its own name."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        bucket = cls(server.endpoint, server.access_key, server.secret_key, name, ca_file)
        with closing(bucket.client()) as client:
            client.create_bucket(Bucket=name)
        return bucket

    def connection(self, prefix: str = "", **changed: Any) -> StoreConnection:
        """To what is below `prefix` in it."""
        given: dict[str, Any] = {
            "url": f"s3://{self.name}/{prefix}",
            "endpoint": self.endpoint,
            "access_key": self.access_key,
            "secret_key": SecretStr(self.secret_key),
            "ca_file": self.ca_file,
        }
        return StoreConnection(**given | changed)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "KAPTION_STORE__URL": f"s3://{self.name}",
            "KAPTION_STORE__ENDPOINT": self.endpoint,
            "KAPTION_STORE__ACCESS_KEY": self.access_key,
            "KAPTION_STORE__SECRET_KEY": self.secret_key,
        }

    def client(self) -> Any:
        """A client of its owner's."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            verify=self.ca_file,
        )


@contextmanager
def serving(server: S) -> Iterator[S]:
    """Run `server` for the block; without its program skip the test, or fail it in CI."""
    with ExitStack() as stack:
        try:
            stack.enter_context(server)
        except MissingServer as missing:
            if os.environ.get("CI", "").lower() in {"true", "1"}:
                pytest.fail(str(missing))
            pytest.skip(str(missing))
        yield server


def cache_folder() -> Path:
    """Where jars are kept between test runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kaption"
