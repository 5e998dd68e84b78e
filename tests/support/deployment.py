"""A worker process on real servers, as one who operates it sees it."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from prometheus_client.parser import text_string_to_metric_families

from kaption.connections.kafka.clients import client_config
from kaption.connections.settings import KafkaConnection
from kaption.consumers import ShardOptions, ShardStream, TopicReader
from kaption.objectstore import open_store
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.objects import read_rows
from kaption.producers import Publisher
from kaption.schemas import CleanPair, RawPair, RejectedPair, Topic, encode, headers_of
from kaption.schemas.pair import Pair
from kaption.schemas.topics import CLEAN, DEAD, REJECTED
from kaption.workers.local.server import free_ports
from support.engine import until
from support.parts import S3Bucket
from support.program import kaption
from support.replicas import Replica
from support.topics import environment
from support.web import get

_SPOOL = "KAPTION_SINK__SPOOL"


class Deployment:
    """One set of servers and settings; `worker` is `kaption work STAGE`.

    Another replica of a stage is another Deployment on the same servers, with a folder of its own.
    """

    def __init__(
        self,
        kafka: KafkaConnection,
        redis_url: str,
        s3: S3Bucket,
        folder: Path,
        stage: str = "all",
    ) -> None:
        self.kafka, self.s3, self.folder, self._stage = kafka, s3, folder, stage
        (self._port,) = free_ports(1)
        self.settings = {
            **environment(kafka),
            "KAPTION_REDIS__URL": redis_url,
            **s3.environment,
            "KAPTION_HEALTH__HOST": "127.0.0.1",
            "KAPTION_HEALTH__PORT": str(self._port),
            "KAPTION_RUNTIME__SESSION_TIMEOUT_S": "6",
            "KAPTION_INGEST__FETCH__ALLOW_NETWORKS": '["127.0.0.0/8"]',
            _SPOOL: str(folder),
            "KAPTION_SINK__SHARD_AGE_S": "1",
        }
        self.worker: Replica

    def start(self) -> None:
        self.launch()
        assert until(lambda: self.ready()[0] == 200, 300), self.log[-4000:]

    def launch(self) -> None:
        """Start the worker, which need not get ready."""
        self.worker = Replica(self._stage, 0, self.settings, self.folder)
        self.worker.start()

    def stop(self) -> None:
        if self.worker.ended is None:
            self.worker.stop()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let the worker do nothing during the block, as on a machine without memory or time."""
        os.kill(self.worker.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.worker.pid, signal.SIGCONT)

    @contextmanager
    def beside(self, stage: str, folder: Path, **settings: str) -> Iterator[Deployment]:
        """Run a worker on the same servers during the block, with some other settings.

        It may end by itself, and may be started again.
        """
        other = Deployment(self.kafka, "", self.s3, folder, stage)
        own = {name: other.settings[name] for name in ("KAPTION_HEALTH__PORT", _SPOOL)}
        other.settings = {**self.settings, **own, **settings}
        other.launch()
        try:
            yield other
        finally:
            other.stop()

    def ready(self) -> tuple[int, str]:
        return get(self._port, "/readyz")

    @property
    def log(self) -> str:
        """All that workers of this deployment have logged."""
        return self.worker.log.read_text("utf-8")

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels in `/metrics`; 0 where nothing answers.

        `name` is that of the samples, as in PromQL.
        """
        return sum(
            sample.value
            for family in text_string_to_metric_families(get(self._port, "/metrics")[1])
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def does(self, command: str, *, fails: bool = False, **settings: str) -> str:
        """Run a command line of `kaption`; return what it prints.

        It must succeed, or must end with 1 where it `fails`.
        """
        program, *arguments = shlex.split(command)
        assert program == "kaption"
        ended = kaption(*arguments, settings={**self.settings, **settings}, cwd=self.folder)
        assert ended.returncode == int(fails), f"{command}: {ended.stdout}{ended.stderr}"
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
        self.send(CLEAN, found[image_of].model_copy(update={"pair_id": pair_id}))

    def send(self, topic: Topic, *records: Pair, days_old: float = 0) -> None:
        """Send records to a topic as if they had been written some days ago."""
        producer = KafkaProducer(bootstrap_servers=self.kafka.bootstrap)
        for record in records:
            producer.send(
                self.kafka.topic_prefix + topic.name,
                encode(record),
                key=record.pair_id.encode(),
                headers=headers_of(record),
                timestamp_ms=round((time.time() - 86_400 * days_old) * 1000),
            )
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
