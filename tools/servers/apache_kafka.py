"""Starts Apache Kafka: one KRaft node, broker and controller in one process."""

import base64
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from kaption.workers.local.server import HOST, LocalServer, ServerError
from kaption.workers.local.servers import kafka_answers
from tools.servers.kafka_jars import java_program, kafka_jars

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=DIRECT
listeners=DIRECT://{host}:{direct},PROXIED://{host}:{proxied},CONTROLLER://{host}:{controller}{more}
advertised.listeners=DIRECT://{host}:{direct},PROXIED://{host}:{proxy}{more}
listener.security.protocol.map=DIRECT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
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
# For tests: a quick start and little memory count more than throughput.
_JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_FORMAT_TIMEOUT_S = 180
_OWN_PORTS = 4


@dataclass(frozen=True, slots=True)
class Listener:
    """An additional address of the broker, besides the two plain ones."""

    name: str
    """In upper case."""
    protocol: Literal["SSL", "SASL_PLAINTEXT", "SASL_SSL"]
    options: Mapping[str, str] = field(default_factory=dict)
    """Broker settings of this listener, without the prefix ``listener.name.NAME.``."""


class ApacheKafka(LocalServer):
    """A broker whose data survives `kill9`. It does not create topics by itself.

    The broker has two plain listeners. `bootstrap` is the address of the first one. The second one
    is for a proxy that injects faults: the proxy listens on `proxy_port` and forwards to
    `proxied_port`. Clients that start from `proxy_bootstrap` keep using the proxy, because the
    second listener advertises the proxy's address.

    `listeners` adds more listeners. `scram_users` maps user names to passwords (SCRAM-SHA-512).
    With `acls` a user may do only what an ACL allows, but a client of a plain listener may do
    everything.
    """

    name: ClassVar[str] = "Apache Kafka"
    start_timeout_s: ClassVar[float] = 180.0

    def __init__(
        self,
        folder: Path | None = None,
        cache: Path | None = None,
        *,
        listeners: Sequence[Listener] = (),
        scram_users: Mapping[str, str] | None = None,
        acls: bool = False,
    ) -> None:
        """`cache` is the folder that keeps the jars, by default ~/.cache/kaption."""
        super().__init__(folder)
        self.cache = cache or Path.home() / ".cache" / "kaption"
        self.listeners = tuple(listeners)
        self.port_count = _OWN_PORTS + len(self.listeners)
        self._scram_users = dict(scram_users or {})
        self._acls = acls

    @property
    def bootstrap(self) -> str:
        """`host:port` for Kafka clients."""
        return f"{HOST}:{self.ports[0]}"

    def address(self, listener: str) -> str:
        """`host:port` of one of `listeners`, by the listener's name."""
        names = [each.name for each in self.listeners]
        return f"{HOST}:{self.ports[_OWN_PORTS + names.index(listener)]}"

    @property
    def proxied_port(self) -> int:
        """The broker's port to which the proxy must forward."""
        return self.ports[1]

    @property
    def proxy_port(self) -> int:
        """The port on which the proxy must listen. The broker does not start a proxy."""
        return self.ports[2]

    @property
    def proxy_bootstrap(self) -> str:
        """`host:port` for Kafka clients behind the proxy."""
        return f"{HOST}:{self.proxy_port}"

    def _prepare(self) -> Sequence[str]:
        java = [java_program(), *_JVM, "-cp", f"{kafka_jars(self.cache)}/*"]
        direct, proxied, proxy, controller = self.ports[:_OWN_PORTS]
        properties = self.folder / "server.properties"
        properties.write_text(
            _PROPERTIES.format(
                host=HOST,
                direct=direct,
                proxied=proxied,
                proxy=proxy,
                controller=controller,
                folder=self.folder,
                more="".join(
                    f",{each.name}://{self.address(each.name)}" for each in self.listeners
                ),
                protocols="".join(f",{each.name}:{each.protocol}" for each in self.listeners),
            )
            + "".join(f"{name}={value}\n" for name, value in self._more_properties().items())
        )
        if not (self.folder / "data" / "meta.properties").exists():
            self._format(java, properties)
        return [*java, "kafka.Kafka", str(properties)]

    def _more_properties(self) -> dict[str, str]:
        found = {
            f"listener.name.{each.name.lower()}.{name}": value
            for each in self.listeners
            for name, value in each.options.items()
        }
        if self._acls:
            found["authorizer.class.name"] = (
                "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
            )
            found["super.users"] = "User:ANONYMOUS"
        return found

    def _format(self, java: Sequence[str], properties: Path) -> None:
        # Start with "K", because an id that begins with a dash would be read as an option.
        cluster = "K" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        users = [
            option
            for name, password in self._scram_users.items()
            for option in ("--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]")
        ]
        command = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)]
        answer = subprocess.run(
            [*java, *command, *users],
            capture_output=True,
            text=True,
            check=False,
            timeout=_FORMAT_TIMEOUT_S,
        )
        if answer.returncode != 0:
            raise ServerError(f"Kafka's storage format failed:\n{answer.stdout}{answer.stderr}")

    def _probe(self) -> None:
        kafka_answers(self.ports[0])
