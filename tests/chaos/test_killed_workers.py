"""The whole flow on real servers while its workers are killed: each pair has one outcome."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from kaption.connections.kafka.lag import LagReader
from kaption.connections.kafka.topics import TopicAdmin, TopicError
from kaption.connections.settings import KafkaConnection
from kaption.objectstore.open import open_store
from kaption.producers import Publisher
from kaption.schemas import TOPICS
from kaption.workers.demo.crawl import Crawl
from kaption.workers.demo.site import Site
from kaption.workers.wiring import STAGES
from support.oracle import Oracle
from support.parts import S3Bucket
from support.replicas import Replica
from tools.servers import ApacheKafka

REPLICAS = 2
KILLS = 20
PAIRS = 400
LIMIT_S = 420


@pytest.fixture
def settings(
    apache_kafka: ApacheKafka, topic_prefix: str, redis_url: str, s3: S3Bucket, tmp_path: Path
) -> dict[str, str]:
    """The environment of every worker: real servers, and short time-outs: a kill costs seconds."""
    return {
        "KAPTION_KAFKA__BOOTSTRAP": apache_kafka.bootstrap,
        "KAPTION_KAFKA__TOPIC_PREFIX": topic_prefix,
        "KAPTION_REDIS__URL": redis_url,
        **s3.environment,
        "KAPTION_HEALTH__PORT": "0",
        "KAPTION_RUNTIME__SESSION_TIMEOUT_S": "6",
        "KAPTION_RUNTIME__TRANSACTION_DEADLINE_S": "6",
        "KAPTION_SINK__SHARD_AGE_S": "4",
        "KAPTION_SINK__SPOOL": str(tmp_path / "spool"),
        "KAPTION_INGEST__FETCH__ALLOW_NETWORKS": '["127.0.0.0/8"]',
        "KAPTION_INGEST__FETCH__TOTAL_TIMEOUT_S": "8",
        "KAPTION_INGEST__FETCH__ATTEMPTS": "2",
        "KAPTION_INGEST__BATCH_RECORDS": "16",
        "KAPTION_SCORE__BATCH_RECORDS": "16",
        "KAPTION_RECAPTION__BATCH_RECORDS": "8",
        "KAPTION_SELECT__BATCH_RECORDS": "16",
    }


@pytest.fixture
def replicas(settings: dict[str, str], tmp_path: Path) -> Iterator[list[Replica]]:
    """Two replicas of each stage. Those that still run after the test are killed."""
    with ExitStack() as stack:
        made = [
            Replica(stage, number, settings, tmp_path)
            for stage, number in itertools.product(STAGES, range(REPLICAS))
        ]
        for replica in made:
            stack.callback(replica.kill9)
            replica.start()
        yield made


@pytest.mark.chaos
def test_each_pair_has_one_outcome_whichever_workers_are_killed(
    replicas: list[Replica], settings: dict[str, str], topic_prefix: str, s3: S3Bucket
) -> None:
    # Given a noisy crawl that is published while two replicas of each stage work
    rng = random.Random(7)
    kafka = KafkaConnection(
        bootstrap=settings["KAPTION_KAFKA__BOOTSTRAP"], topic_prefix=topic_prefix
    )
    with TopicAdmin(kafka) as admin:
        admin.create(TOPICS)
    crawl = Crawl(seed=11, count=PAIRS)
    with Site(crawl.pages) as site, Publisher(kafka) as publisher:
        records = iter(crawl.records(site.url))
        for record in itertools.islice(records, PAIRS // 4):
            publisher.publish(record)
        # When the group of each stage is rebalanced in the middle
        for replica in replicas[::REPLICAS]:
            assert replica.stop() == 0, replica.log.read_text()[-4000:]
            replica.start()
        # And workers of every stage are killed at random moments, one after the other
        victims = [rng.choice(_of(replicas, stage)) for stage in [*STAGES] * (KILLS // len(STAGES))]
        rng.shuffle(victims)
        for victim in victims:
            time.sleep(rng.uniform(0.5, 4.0))
            for record in itertools.islice(records, PAIRS // KILLS):
                publisher.publish(record)
            victim.kill9()
            victim.start()
        publisher.flush()
        # Then everything is done in the end,
        _until(lambda: _nothing_left(kafka, replicas), LIMIT_S)
    # every worker stops in order,
    for replica in replicas:
        assert replica.stop() == 0, replica.log.read_text()[-4000:]
    # and each pair has exactly one outcome, each clean pair is in one shard, no claim is orphaned
    oracle = Oracle(kafka.bootstrap, topic_prefix, open_store(s3.connection()), "dataset")
    assert oracle.faults() == []
    with redis.Redis.from_url(settings["KAPTION_REDIS__URL"]) as client:
        assert oracle.claim_faults(client, "kaption:") == []
    assert len(oracle.outcomes) == PAIRS
    assert len(oracle.topics["pairs.clean"]) > PAIRS // 3


def _of(replicas: list[Replica], stage: str) -> list[Replica]:
    return [replica for replica in replicas if replica.stage == stage]


def _nothing_left(kafka: KafkaConnection, replicas: list[Replica]) -> bool:
    for replica in replicas:
        assert replica.ended is None, f"{replica.log.name}: {replica.log.read_text()[-4000:]}"
    try:
        # In the order of the flow: once a stage has no lag, all its outputs are lag of the next.
        with LagReader(kafka) as reader:
            return all(
                reader.progress(kafka.topic_prefix + stage, inputs).lag == 0
                for stage, inputs in STAGES.items()
            )
    except TopicError:
        return False  # the broker is too busy to tell


def _until(reached: Callable[[], bool], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not reached():
        assert time.monotonic() < deadline, f"not done after {limit_s} s"
        time.sleep(1)
