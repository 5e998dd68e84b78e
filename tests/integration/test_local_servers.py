"""The local servers answer, also after a kill or a freeze."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from botocore.exceptions import ClientError
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from faults import FaultProxy
from kaption.workers.local import ServerError, Tansu, Valkey
from support.parts import S3Bucket
from tools.servers import ApacheKafka

VALUES = [b"0", b"1", b"2"]


def produce(bootstrap: str, topic: str) -> None:
    """Create `topic` and write VALUES to it."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
    for value in VALUES:
        producer.send(topic, value).get(timeout=30)
    producer.close()


def consume(bootstrap: str, topic: str) -> list[bytes]:
    """Read the expected number of values, and wait a moment for more."""
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        group_id=f"{topic}.readers",
        session_timeout_ms=6000,  # Tansu lets a group form after half of this
        heartbeat_interval_ms=1000,
        consumer_timeout_ms=3000,
    )
    values: list[bytes] = []
    deadline = time.monotonic() + 30
    while len(values) < len(VALUES) and time.monotonic() < deadline:
        values += [record.value for record in consumer]
    consumer.close()
    return values


def closes_within(seconds: float, port: int) -> bool:
    """Whether `port` is closed within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return True
        time.sleep(0.05)
    return False


@pytest.mark.integration
def test_kafka_gives_back_what_was_written(apache_kafka: ApacheKafka, topic_prefix: str) -> None:
    produce(apache_kafka.bootstrap, f"{topic_prefix}pairs")

    assert consume(apache_kafka.bootstrap, f"{topic_prefix}pairs") == VALUES


def test_tansu_gives_back_what_was_written(tansu: Tansu, topic_prefix: str) -> None:
    produce(tansu.bootstrap, f"{topic_prefix}pairs")

    assert consume(tansu.bootstrap, f"{topic_prefix}pairs") == VALUES


@pytest.mark.integration
def test_kafka_keeps_its_data_and_address_through_kill9_and_restart(
    own_kafka: ApacheKafka, topic_prefix: str
) -> None:
    bootstrap = own_kafka.bootstrap
    produce(bootstrap, f"{topic_prefix}pairs")

    own_kafka.kill9()
    assert not own_kafka.running
    own_kafka.start()
    own_kafka.restart()

    assert own_kafka.bootstrap == bootstrap
    assert consume(bootstrap, f"{topic_prefix}pairs") == VALUES


@pytest.mark.integration
def test_kafka_clients_that_start_behind_the_proxy_stay_behind_it(
    apache_kafka: ApacheKafka,
) -> None:
    with FaultProxy(target=apache_kafka.proxied_port, port=apache_kafka.proxy_port):
        admin = KafkaAdminClient(bootstrap_servers=apache_kafka.proxy_bootstrap)
        brokers = admin.describe_cluster()["brokers"]
        admin.close()

    assert [broker["port"] for broker in brokers] == [apache_kafka.proxy_port]


@pytest.mark.integration
def test_frozen_kafka_accepts_but_is_silent_until_thawed(own_kafka: ApacheKafka) -> None:
    host, port = own_kafka.bootstrap.split(":")
    request = bytes.fromhex("0000000a0012000000000007ffff")

    own_kafka.freeze()
    with socket.create_connection((host, int(port)), 5) as connection:
        connection.settimeout(1)
        connection.sendall(request)
        with pytest.raises(TimeoutError):
            connection.recv(4)
        own_kafka.thaw()
        connection.settimeout(30)

        assert connection.recv(4)


def test_valkey_databases_are_separate_and_empty_after_a_kill() -> None:
    with Valkey() as server:
        first = redis.Redis.from_url(server.database_url(1))
        second = redis.Redis.from_url(server.database_url(2))
        first.set("key", "value")
        assert first.get("key") == b"value"
        assert second.get("key") is None

        server.kill9()
        server.start()

        assert first.get("key") is None
        first.close()
        second.close()


@pytest.mark.integration
def test_s3_refuses_to_overwrite_when_asked_not_to(s3: S3Bucket) -> None:
    client = s3.client()
    client.put_object(Bucket=s3.name, Key="manifest/0.json", Body=b"first", IfNoneMatch="*")

    with pytest.raises(ClientError) as refused:
        client.put_object(Bucket=s3.name, Key="manifest/0.json", Body=b"second", IfNoneMatch="*")

    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert client.get_object(Bucket=s3.name, Key="manifest/0.json")["Body"].read() == b"first"
    client.close()


def test_a_server_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    class Refused(Valkey):
        def _prepare(self) -> list[str]:
            return [*super()._prepare(), "--no-such-option", "1"]

    with pytest.raises(ServerError, match=r"ended with status(.|\n)*no-such-option"):
        Refused(tmp_path).start()


def test_servers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, signal, sys\n"
        "from kaption.workers.local import Valkey\n"
        "server = Valkey(pathlib.Path(sys.argv[1]))\n"
        "server.start()\n"
        "print(server.ports[0], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, check=False)
    port = int(ended.stdout)

    assert closes_within(10, port)
