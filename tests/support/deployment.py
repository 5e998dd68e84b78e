"""All stages in one process on real servers, as one who operates them sees them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from kaption.connections.kafka.clients import client_config
from kaption.connections.settings import KafkaConnection
from kaption.consumers import ShardOptions, ShardStream, TopicReader
from kaption.objectstore import open_store
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.objects import read_rows
from kaption.producers import Publisher
from kaption.schemas import CleanPair, RawPair, RejectedPair, Topic, encode, headers_of
from kaption.schemas.topics import CLEAN, DEAD, REJECTED
from kaption.workers.local.server import free_ports
from support.engine import until
from support.parts import S3Bucket
from support.program import kaption
from support.replicas import Replica
from support.topics import environment
from support.web import get


class Deployment:
    """One set of servers and settings; `worker` is `kaption work all`."""

    def __init__(self, kafka: KafkaConnection, redis_url: str, s3: S3Bucket, folder: Path) -> None:
        self.kafka, self.s3, self.folder = kafka, s3, folder
        (self._port,) = free_ports(1)
        self.settings = {
            **environment(kafka),
            "KAPTION_REDIS__URL": redis_url,
            **s3.environment,
            "KAPTION_HEALTH__HOST": "127.0.0.1",
            "KAPTION_HEALTH__PORT": str(self._port),
            "KAPTION_RUNTIME__SESSION_TIMEOUT_S": "6",
            "KAPTION_INGEST__FETCH__ALLOW_NETWORKS": '["127.0.0.0/8"]',
            "KAPTION_SINK__SPOOL": str(folder),
            "KAPTION_SINK__SHARD_AGE_S": "1",
        }
        self.worker: Replica

    def start(self) -> None:
        self.worker = Replica("all", 0, self.settings, self.folder)
        self.worker.start()
        assert until(lambda: self.ready()[0] == 200, 300), self.worker.log.read_text()[-4000:]

    def stop(self) -> None:
        if self.worker.ended is None:
            self.worker.stop()

    def ready(self) -> tuple[int, str]:
        return get(self._port, "/readyz")

    def does(self, command: str, **settings: str) -> str:
        """Run a command line of `kaption`, which must succeed; return what it prints."""
        program, *arguments = command.split()
        assert program == "kaption"
        ended = kaption(*arguments, settings={**self.settings, **settings}, cwd=self.folder)
        assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def publish(self, records: Sequence[RawPair]) -> None:
        with Publisher(self.kafka) as publisher:
            for record in records:
                publisher.publish(record)
            publisher.flush()

    def pass_on(self, pair_id: str, image_of: str) -> None:
        """Send a pair to pairs.clean past the stages, which would refuse what is taken down."""
        with TopicReader(self.kafka, [CLEAN]) as reader:
            records = [read.record for read in reader]
        found = {each.pair_id: each for each in records if isinstance(each, CleanPair)}
        pair = found[image_of].model_copy(update={"pair_id": pair_id})
        producer = KafkaProducer(bootstrap_servers=self.kafka.bootstrap)
        name = self.kafka.topic_prefix + CLEAN.name
        producer.send(name, encode(pair), key=pair_id.encode(), headers=headers_of(pair))
        producer.close()

    def outcomes(self) -> dict[str, list[str]]:
        """The outcomes of each pair, in order for each: clean, dead, or the reason."""
        found: dict[str, list[str]] = {}
        with TopicReader(self.kafka, [CLEAN, REJECTED, DEAD]) as reader:
            for read in reader:
                match read.record:
                    case CleanPair() as pair:
                        found.setdefault(pair.pair_id, []).append("clean")
                    case RejectedPair() as pair:
                        found.setdefault(str(pair.pair_id), []).append(pair.reason.value)
                    case other:
                        found.setdefault("dead", []).append(str(other))
        return found

    def moves_to(self, bootstrap: str) -> None:
        """Use another cluster from the next start on."""
        self.kafka = self.kafka.model_copy(update={"bootstrap": bootstrap})
        self.settings["KAPTION_KAFKA__BOOTSTRAP"] = bootstrap

    def finished(self, records: Sequence[RawPair], times: int = 1) -> bool:
        """Wait until each of these pairs has so many outcomes."""
        wanted = {record.pair_id for record in records}
        return until(
            lambda: all(len(self.outcomes().get(each, ())) >= times for each in wanted), 300
        )

    def sunk(self, prefix: str = "dataset") -> dict[str, str]:
        """The sha256 of the images of the pairs in shards, also of those that readers leave out."""
        store = open_store(self.s3.connection())
        shards = read_manifests(store, prefix)
        rows = (row for shard in shards for row in read_rows(store, prefix, shard))
        return {row["pair_id"]: row["sha256"] for row in rows}

    def trained(self, prefix: str = "dataset") -> set[str]:
        """The pairs that training gets from the shards below a prefix."""
        stream = ShardStream(self.s3.connection(), prefix, ShardOptions(shuffle=False))
        return {sample.pair.pair_id for sample in stream}

    def delete_records(self, topic: Topic) -> None:
        """Delete all records of a topic, as the broker does once they are older than retention."""
        admin = KafkaAdminClient(**client_config(self.kafka))
        name = self.kafka.topic_prefix + topic.name
        admin.delete_records({TopicPartition(name, each): -1 for each in range(topic.partitions)})
        admin.close()
