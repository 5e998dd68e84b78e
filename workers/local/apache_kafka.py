"""Apache Kafka: one KRaft node, broker and controller in one process."""

import base64
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from workers.local.kafka_jars import java_program, kafka_jars
from workers.local.ports import HOST
from workers.local.probe import kafka_answers
from workers.local.process import ServerError
from workers.local.server import LocalServer

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=DIRECT
listeners=DIRECT://{host}:{direct},PROXIED://{host}:{proxied},CONTROLLER://{host}:{controller}
advertised.listeners=DIRECT://{host}:{direct},PROXIED://{host}:{proxy}
listener.security.protocol.map=DIRECT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/data
num.partitions=4
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
"""
# A broker for tests: quick to start rather than quick in the long run, in little memory.
_JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_FORMAT_TIMEOUT_S = 60


class ApacheKafka(LocalServer):
    """A broker whose data survives `kill9`; topics are not created by themselves.

    It listens twice. `bootstrap` leads to the broker itself. A proxy that injects faults listens
    on `proxy_port` and forwards to `proxied_port`: clients that start from `proxy_bootstrap` stay
    behind it, since that listener advertises the proxy's address and not its own.
    """

    name: ClassVar[str] = "Apache Kafka"
    port_count: ClassVar[int] = 4
    start_timeout_s: ClassVar[float] = 90.0

    def __init__(self, folder: Path | None = None, cache: Path | None = None) -> None:
        """`cache` keeps the jars between runs, by default ~/.cache/kaption."""
        super().__init__(folder)
        self.cache = cache or Path.home() / ".cache" / "kaption"

    @property
    def bootstrap(self) -> str:
        """`host:port` for Kafka clients."""
        return f"{HOST}:{self.ports[0]}"

    @property
    def proxied_port(self) -> int:
        """Where the broker expects what comes through the proxy."""
        return self.ports[1]

    @property
    def proxy_port(self) -> int:
        """Where the proxy is expected to listen; nobody does until there is one."""
        return self.ports[2]

    @property
    def proxy_bootstrap(self) -> str:
        """`host:port` for Kafka clients behind the proxy."""
        return f"{HOST}:{self.proxy_port}"

    def _prepare(self) -> Sequence[str]:
        java = [java_program(), *_JVM, "-cp", f"{kafka_jars(self.cache)}/*"]
        direct, proxied, proxy, controller = self.ports
        properties = self.folder / "server.properties"
        properties.write_text(
            _PROPERTIES.format(
                host=HOST,
                direct=direct,
                proxied=proxied,
                proxy=proxy,
                controller=controller,
                folder=self.folder,
            )
        )
        if not (self.folder / "data" / "meta.properties").exists():
            self._format(java, properties)
        return [*java, "kafka.Kafka", str(properties)]

    def _format(self, java: Sequence[str], properties: Path) -> None:
        # "K" first: an id that began with a dash would be read as an option.
        cluster = "K" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        answer = subprocess.run(
            [*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)],
            capture_output=True,
            text=True,
            check=False,
            timeout=_FORMAT_TIMEOUT_S,
        )
        if answer.returncode != 0:
            raise ServerError(f"Kafka's storage format failed:\n{answer.stdout}{answer.stderr}")

    def _probe(self) -> None:
        kafka_answers(self.ports[0])
