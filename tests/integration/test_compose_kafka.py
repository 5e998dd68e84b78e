"""The Kafka of docker-compose.yml: its variables, read by its image's own program, make a broker.

Only addresses and the data's folder are others than in a container.
"""

import os
import re
import subprocess
from collections.abc import Sequence
from typing import ClassVar

import pytest

from compose import SERVICES
from parts import cache_folder, serving
from schemas import TOPICS, KafkaConnection
from workers.local import ApacheKafka
from workers.local.kafka_jars import java_program, kafka_jars
from workers.local.ports import HOST
from workers.runtime.kafka.topics import TopicAdmin

pytestmark = pytest.mark.integration
VARIABLES: dict[str, str] = {
    name: str(value) for name, value in SERVICES["kafka"]["environment"].items()
}
# The image's own, where none is given.
CLUSTER = {"CLUSTER_ID": "5L6g3nShT-eMCtK--X86sw"}


class ComposeKafka(ApacheKafka):
    """A broker with the settings that the image makes of compose's variables."""

    port_count: ClassVar[int] = 3

    def _prepare(self) -> Sequence[str]:
        folders = {"default": "none", "mounted": "none", "final": "made"}
        for name in folders.values():
            (self.folder / name).mkdir(exist_ok=True)
        java = [java_program(), "-cp", f"{kafka_jars(self.cache)}/*"]
        options = [f"--{which}-configs-dir={self.folder / it}" for which, it in folders.items()]
        subprocess.run(
            [*java, "kafka.docker.KafkaDockerWrapper", "setup", *options],
            env=os.environ | CLUSTER | {name: self._here(it) for name, it in VARIABLES.items()},
            check=True,
        )
        return [*java, "-Xmx512m", "kafka.Kafka", f"{self.folder}/made/server.properties"]

    def _here(self, value: str) -> str:
        ports = dict(zip(("9092", "9093", "29092"), map(str, self.ports), strict=True))
        value = re.sub(r"(?<=//)(kafka)?(?=:\d)", HOST, value).replace("localhost", HOST)
        value = re.sub(r"(?<=:)\d+\b", lambda port: ports[port[0]], value)
        return value.replace("/var/lib/kafka/data", str(self.folder / "data"))


def test_it_serves_inside_and_outside_and_takes_our_topics() -> None:
    # Given the broker that compose describes
    with serving(ComposeKafka(cache=cache_folder())) as broker:
        # When topics are created from inside, as the service `topics` does
        with TopicAdmin(KafkaConnection(bootstrap=broker.bootstrap)) as admin:
            created = admin.create(TOPICS)
        # Then they are as they should be, seen from outside too
        outside = KafkaConnection(bootstrap=f"{HOST}:{broker.ports[2]}")
        with TopicAdmin(outside) as admin:
            assert admin.check(TOPICS) == []
    assert len(created) == len(TOPICS)
