"""The servers that tests run against, or the reason why there is none."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from pydantic import SecretStr

from schemas import StoreConnection
from workers.local import LocalServer, MissingServer

S = TypeVar("S", bound=LocalServer)


@dataclass(frozen=True)
class S3Bucket:
    """An empty bucket on an S3 server."""

    endpoint: str
    access_key: str
    secret_key: str
    name: str

    def connection(self, prefix: str = "") -> StoreConnection:
        """To what is below `prefix` in it."""
        return StoreConnection(
            url=f"s3://{self.name}/{prefix}",
            endpoint=self.endpoint,
            access_key=self.access_key,
            secret_key=SecretStr(self.secret_key),
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
