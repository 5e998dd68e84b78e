"""The programs of Apache Kafka's folder `bin`, started from the jars that the tests have."""

from __future__ import annotations

import shlex
import subprocess

from tools.servers import ApacheKafka
from tools.servers.kafka_jars import java_program, kafka_jars

_CLASSES = {
    "kafka-configs.sh": "kafka.admin.ConfigCommand",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-transactions.sh": "org.apache.kafka.tools.TransactionsCommand",
}
"""By program, the class whose `main` it runs with its arguments."""
_LIMIT_S = 120


def kafka_does(server: ApacheKafka, command: str) -> str:
    """Run a command line of such a program, which must succeed; return what it prints."""
    program, *arguments = shlex.split(command)
    java = [java_program(), "-Xmx64m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    ended = subprocess.run(
        [*java, "-cp", f"{kafka_jars(server.cache)}/*", _CLASSES[program], *arguments],
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
    return ended.stdout
