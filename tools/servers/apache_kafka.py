"""Apache Kafka: one KRaft node, broker and controller in one process."""

import base64
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from kaption.workers.local.ports import HOST
from kaption.workers.local.probe import kafka_answers
from kaption.workers.local.process import ServerError
from kaption.workers.local.server import LocalServer
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
# A broker for tests: quick to start rather than quick in the long run, in little memory.
_JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_FORMAT_TIMEOUT_S = 60
_OWN_PORTS = 4


@dataclass(frozen=True, slots=True)
class Listener:
    """One more address of the broker, beside the two plain ones."""

    name: str
    """Upper-case."""
    protocol: Literal["SSL", "SASL_PLAINTEXT", "SASL_SSL"]
    options: Mapping[str, str] = field(default_factory=dict)
    """Broker settings of this listener, without their ``listener.name.NAME.``."""


class ApacheKafka(LocalServer):
    """A broker whose data survives `kill9`; topics are not created by themselves.

    It listens twice. `bootstrap` leads to the broker itself. A proxy that injects faults listens
    on `proxy_port` and forwards to `proxied_port`: clients that start from `proxy_bootstrap` stay
    behind it, since that listener advertises the proxy's address and not its own. Both are plain;
    `listeners` adds others, `scram_users` gives users with passwords (SCRAM-SHA-512), and with
    `acls` a user may do only what an ACL allows. Whoever comes by a plain listener may do all.
    """

    name: ClassVar[str] = "Apache Kafka"
    start_timeout_s: ClassVar[float] = 90.0

    def __init__(
        self,
        folder: Path | None = None,
        cache: Path | None = None,
        *,
        listeners: Sequence[Listener] = (),
        scram_users: Mapping[str, str] | None = None,
        acls: bool = False,
    ) -> None:
        """`cache` keeps the jars between runs, by default ~/.cache/kaption."""
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
        """`host:port` of one of `listeners`, by its name."""
        names = [each.name for each in self.listeners]
        return f"{HOST}:{self.ports[_OWN_PORTS + names.index(listener)]}"

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
        # "K" first: an id that began with a dash would be read as an option.
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
