"""Runbooks of the alerts in docs/operating.md, carried out on real servers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import redis as redis_py
from kafka import TopicPartition

from faults import FaultProxy
from kaption.connections.kafka.topics import TopicAdmin
from kaption.schemas import RawPair
from kaption.schemas.topics import RAW
from kaption.workers.demo.site import Page, Site
from kaption.workers.local import Valkey
from support.deployment import Deployment
from support.engine import until
from support.ingest_bench import image_bytes
from support.kafka_faults import hang_a_record, hang_an_offset
from support.kafka_tools import kafka_does
from support.runbooks import (
    ABORT,
    ABORTED,
    CHECK,
    DOCTOR,
    FIND,
    LEADER,
    LOWER,
    RAISE,
    REPLAY_REJECTED,
    RUNBOOKS,
    STAGE_DOCTOR,
    carries_out,
    ingested,
    keyed,
    pair,
    waits_for_redis,
    watched,
    written,
)
from tools.servers import ApacheKafka

pytestmark = pytest.mark.integration
Tool = Callable[[str], str]


@pytest.fixture
def kafka_tool(apache_kafka: ApacheKafka, ingest: Deployment) -> Tool:
    """Run a command of the document, with the address and the topic of the test's."""

    def run(command: str) -> str:
        topic = ingest.kafka.topic_prefix + RAW.name
        command = re.sub(rf"(?<= ){RAW.name}\b", topic, command)
        return kafka_does(apache_kafka, command.replace("host:9092", apache_kafka.bootstrap))

    return run


@carries_out("KaptionNothingScraped", "KaptionStageGone")
def test_a_stage_without_workers(ingest: Deployment, redis: Valkey, tmp_path: Path) -> None:
    # Given a worker that cannot reach Redis
    with FaultProxy(redis.ports[0]) as network:
        network.refuse()
        url = f"redis://{network.address}/0"
        with ingest.beside("ingest", tmp_path, KAPTION_REDIS__URL=url) as gone:
            # Then nothing answers Prometheus; the last line of the worker's log and doctor say why
            assert until(lambda: gone.worker.ended == 1, 60)
            assert gone.ready() == (0, "")
            assert network.address in gone.log.splitlines()[-1]
            doctor = written("KaptionStageGone", STAGE_DOCTOR)
            assert "wrong  redis" in gone.does(doctor, fails=True)
            # When the network lets it through, and its supervisor starts it, then it is scraped
            network.restore()
            gone.start()
            alert, metric = "KaptionNothingScraped", "kaption_partition_changes_total"
            assert until(lambda: watched(gone, alert, metric, stage="ingest") > 0, 60)


@carries_out("KaptionStageStands", "KaptionWaitsForServer")
def test_redis_is_away_or_full(ingest: Deployment, redis: Valkey) -> None:
    def waits(record: RawPair) -> None:
        """Records wait and tries are counted; the log and /readyz name the server."""
        alert, told = "KaptionWaitsForServer", waits_for_redis(ingest)
        before = watched(ingest, alert, "kaption_retries_total")
        ingest.publish([record])
        assert until(lambda: watched(ingest, alert, "kaption_retries_total") > before, 60)
        alert, metric = "KaptionStageStands", "kaption_held_records"
        assert until(lambda: watched(ingest, alert, metric, stage="ingest") == 1, 60)
        assert until(lambda: "Redis" in ingest.ready()[1], 60)
        assert waits_for_redis(ingest) == told + 1

    # Given a Redis that is away
    redis.kill9()
    waits(away := pair("away"))
    # When it comes back, then the worker goes on by itself
    redis.start()
    assert ingested(ingest, [away])
    assert until(lambda: ingest.metric("kaption_held_records") == 0, 60)
    assert ingest.ready()[0] == 200
    # And one whose memory is full, which doctor tells
    with redis_py.Redis.from_url(redis.url) as client:
        client.config_set("maxmemory", "1")
        waits(full := pair("full"))
        doctor = written("KaptionWaitsForServer", DOCTOR)
        assert "maxmemory" in ingest.does(doctor, fails=True)
        # When it gets more, then the worker goes on by itself
        client.config_set("maxmemory", "0")
    assert ingested(ingest, [full])
    assert "ok     redis" in ingest.does(doctor)


@carries_out("KaptionStageStands")
def test_a_transaction_on_the_offsets_hangs(ingest: Deployment, kafka_tool: Tool) -> None:
    # Given a transaction that hangs on offsets of the group, when its worker starts again
    ingest.stop()
    partition = TopicPartition(f"{ingest.kafka.topic_prefix}{RAW.name}", 0)
    hang_an_offset(ingest.kafka.bootstrap, partition, f"{ingest.kafka.topic_prefix}ingest")
    behind = [keyed("offsets", 0)]
    ingest.publish(behind)
    ingest.launch()
    # Then its log says so, and so does /readyz
    assert '"no stable offset' in RUNBOOKS["KaptionStageStands"]
    assert until(lambda: "no stable offset" in ingest.log, 120)
    assert until(lambda: "no stable offset" in ingest.ready()[1], 60), ingest.ready()
    # When the transaction is found and aborted, then the worker goes on by itself
    abort_what_hangs(kafka_tool, "__consumer_offsets", "--max-transaction-timeout 0")
    assert ingested(ingest, behind)
    assert ingest.ready()[0] == 200


@carries_out("KaptionPartitionStands")
def test_a_transaction_in_a_partition_hangs(ingest: Deployment, kafka_tool: Tool) -> None:
    # Given a partition that waits behind a transaction that hangs, while others go on
    partition = TopicPartition(f"{ingest.kafka.topic_prefix}{RAW.name}", 1)
    hang_a_record(ingest.kafka.bootstrap, partition, hours_old=1)
    behind, other = keyed("partition", 1), keyed("partition", 2)
    ingest.publish([other, behind])
    assert ingested(ingest, [other])
    alert, metric = "KaptionPartitionStands", "kaption_oldest_record_age_seconds"
    assert until(lambda: watched(ingest, alert, metric, partition="1") > 2, 60)
    assert watched(ingest, alert, metric, partition="2") == 0
    # When it has a leader, and the transaction is found and aborted
    described = kafka_tool(written("KaptionPartitionStands", LEADER))
    assert re.search(r"Partition: 1\s+Leader: 1\b", described)
    abort_what_hangs(kafka_tool, partition.topic)
    # Then it goes on
    assert ingested(ingest, [behind])
    assert until(lambda: ingest.metric(metric, partition="1") == 0, 60)


def abort_what_hangs(kafka_tool: Tool, topic: str, younger: str = "") -> None:
    """Find the transactions that hang in a topic, and abort them.

    `younger` finds those that have not hung for 15 minutes yet.
    """
    find, abort = (written("KaptionStageStands", each) for each in (FIND, ABORT))
    lines = kafka_tool(f"{find} {younger}").splitlines()
    found = [line.split() for line in lines if line.startswith(topic)]
    assert found, lines
    for _, partition, _, _, _, offset, *_ in found:
        place = f"--topic {topic} --partition {partition} --start-offset {offset}"
        kafka_tool(abort.replace(ABORTED, place))


@carries_out("KaptionRetentionNear", "KaptionBacklogOutlivesRetention")
def test_the_retention_is_near(ingest: Deployment, redis: Valkey, kafka_tool: Tool) -> None:
    def retention_days() -> float:
        with TopicAdmin(ingest.kafka) as admin:
            return int(admin.describe([RAW])[0].config["retention.ms"]) / 86_400_000

    # Given a record that has waited for six days
    old = pair("old")
    redis.freeze()
    ingest.send(RAW, old, days_old=6)
    metric = "kaption_oldest_record_age_seconds"
    assert until(lambda: watched(ingest, "KaptionRetentionNear", metric) > 5 * 86_400, 60)
    # When the retention of its topic is raised
    kafka_tool(written("KaptionRetentionNear", RAISE))
    assert until(lambda: retention_days() == 30, 60)
    assert "retention.ms" in ingest.does(written("KaptionRetentionNear", CHECK), fails=True)
    # And the cause is repaired, then the record is processed
    redis.thaw()
    assert ingested(ingest, [old])
    assert until(lambda: ingest.metric(metric) == 0, 60)
    # And the retention goes back
    ingest.does(written("KaptionRetentionNear", LOWER))
    assert until(lambda: retention_days() == 7, 60)


@carries_out("KaptionRejectionsJump")
def test_a_reason_of_rejections_jumps(ingest: Deployment) -> None:
    # Given a web server that answers with errors
    pages: dict[str, Page] = {}
    with Site(pages) as site:
        refused = [pair("refused", each, site.url) for each in range(3)]
        ingest.publish(refused)
        alert, reason = "KaptionRejectionsJump", "fetch_status"
        rejected = partial(watched, ingest, alert, "kaption_outcomes_total", reason=reason)
        assert until(lambda: rejected() == 3, 60)
        # When it is repaired, and its rejections are replayed
        pages |= {f"/{each}.png": Page(image_bytes(900 + each), "image/png") for each in range(3)}
        assert "3 records published" in ingest.does(written(alert, REPLAY_REJECTED))
        # Then its images come
        assert ingested(ingest, refused)
        assert rejected() == 3


@carries_out("KaptionLagGrows", "KaptionBacklogOutlivesRetention", "KaptionWorkerStands")
def test_more_workers_and_one_that_stands(
    ingest: Deployment, redis: Valkey, tmp_path: Path
) -> None:
    finished = partial(Deployment.metric, name="kaption_outcomes_total", stage="ingest")
    slow = Page(image_bytes(1000), "image/png", delay_s=0.3)
    with (
        Site({f"/{each}.png": slow for each in range(90)}) as site,
        FaultProxy(redis.ports[0]) as network,
    ):
        # Given a worker that falls behind
        before = finished(ingest)
        ingest.publish([pair("slow", each, site.url) for each in range(90)])
        alert, lag = "KaptionLagGrows", "kaption_lag_records"
        assert until(lambda: watched(ingest, alert, lag) > 0, 60)
        assert watched(ingest, "KaptionBacklogOutlivesRetention", lag) > 0
        # When another one is added, then it takes a share of the records
        url = f"redis://{network.address}/0"
        with ingest.beside("ingest", tmp_path, KAPTION_REDIS__URL=url) as added:
            assert until(lambda: finished(ingest) - before + finished(added) == 90, 120)
            assert finished(added) > 0
            assert until(lambda: ingest.metric("kaption_lag_records") == 0, 60)
            # When its node cannot reach Redis any more
            network.refuse()
            shared = [pair("shared", each) for each in range(40)]
            ingest.publish(shared)
            alert = "KaptionWorkerStands"
            assert until(lambda: watched(added, alert, "kaption_held_records") > 0, 60)
            assert until(lambda: waits_for_redis(added) > 0, 60)
            # And its pod is deleted, then the other one does its records
            added.stop()
            assert ingested(ingest, shared)


@carries_out("KaptionPartitionsMove")
def test_a_worker_is_silent_for_too_long(ingest: Deployment, tmp_path: Path) -> None:
    alert, metric = "KaptionPartitionsMove", "kaption_partition_changes_total"
    moved = partial(watched, ingest, alert, metric)
    with ingest.beside("ingest", tmp_path, KAPTION_RUNTIME__SESSION_TIMEOUT_S="2") as silent:
        # Given a worker that is silent for longer than its session's time-out
        assert until(lambda: silent.metric(metric) > 0, 60)
        with silent.frozen():
            before = moved()
            # Then its partitions move
            assert until(lambda: moved() > before, 60)
        # When the time-out is raised, then they stay where they are
        silent.stop()
        silent.settings["KAPTION_RUNTIME__SESSION_TIMEOUT_S"] = "20"
        silent.start()
        assert until(lambda: silent.metric(metric) > 0, 60)
        with silent.frozen():
            before = moved()
            assert not until(lambda: moved() > before, 4)


@carries_out("KaptionTransactionsSlow", "KaptionSessionsRebuilt")
def test_brokers_are_slow(ingest: Deployment, apache_kafka: ApacheKafka, tmp_path: Path) -> None:
    own = {
        "KAPTION_KAFKA__BOOTSTRAP": apache_kafka.proxy_bootstrap,
        "KAPTION_RUNTIME__SESSION_TIMEOUT_S": "30",
        "KAPTION_RUNTIME__TRANSACTION_DEADLINE_S": "2",
    }
    ingest.stop()
    pages = LatePages({"/0.png": Page(image_bytes(1001), "image/png")})
    with (
        Site(pages) as site,
        FaultProxy(apache_kafka.proxied_port, apache_kafka.proxy_port) as network,
        ingest.beside("ingest", tmp_path, **own) as worker,
    ):
        rebuilt = partial(
            watched, worker, "KaptionSessionsRebuilt", "kaption_session_rebuilds_total"
        )
        held = partial(worker.metric, "kaption_held_records")

        def hold(name: str) -> None:
            """Freeze the brokers while the worker gets an image, whose outcome it then commits."""
            pages.released.clear()
            worker.publish([pair(name, 0, site.url)])
            assert until(lambda: held() == 1, 60)
            network.freeze()
            pages.released.set()

        # Given brokers that are slower than the deadline
        assert until(lambda: worker.ready()[0] == 200, 60)
        hold("first")
        # Then the worker does not learn the outcome of its transaction, and goes on when it can
        assert until(lambda: rebuilt() > 0, 60)
        network.restore()
        assert until(lambda: held() == 0, 60)
        # When the deadline is raised
        worker.stop()
        assert "runtime.transaction_deadline_s" in RUNBOOKS["KaptionTransactionsSlow"]
        worker.settings["KAPTION_RUNTIME__TRANSACTION_DEADLINE_S"] = "60"
        worker.start()
        hold("second")
        # Then it goes on waiting
        assert not until(lambda: held() == 0, 10)
        network.restore()
        assert until(lambda: held() == 0, 60)
        # And the transaction took long, but the worker learns its outcome
        metric = "kaption_transaction_seconds_bucket"
        seconds = partial(watched, worker, "KaptionTransactionsSlow", metric)
        assert seconds(le="+Inf") > seconds(le="5.0")
        assert rebuilt() == 0


class LatePages(dict[str, Page]):
    """Pages of a site that keeps its answers back until they are released."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        super().__init__(pages)
        self.released = Event()

    def get(self, path: str, default: Any = None) -> Any:
        self.released.wait(60)
        return super().get(path, default)
