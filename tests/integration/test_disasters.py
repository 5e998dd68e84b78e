"""Runbooks for disasters in docs/operating.md, carried out on real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kaption.connections.settings import KafkaConnection
from kaption.schemas import ImageSource, RawPair
from kaption.schemas.topics import RAW
from kaption.workers.local import Valkey
from support.deployment import Deployment
from support.engine import until
from support.ingest_bench import image_bytes
from support.parts import S3Bucket, serving
from tools.servers import ApacheKafka, SeaweedFs

pytestmark = pytest.mark.integration
DOCTOR = "kaption doctor --no-models"
TOPICS = "kaption topics create"


def pairs(first: int, last: int, again: str = "") -> list[RawPair]:
    """Pairs with an image of their own each; `again` makes others with the same images."""
    return [
        RawPair(
            pair_id=f"pair-{number}{again}",
            image=ImageSource(inline=image_bytes(number)),
            text=f"A red vase {number} on a wooden table",
        )
        for number in range(first, last)
    ]


@pytest.fixture(scope="module")
def redis() -> Iterator[Valkey]:
    with serving(Valkey()) as server:
        yield server


@pytest.fixture(scope="module")
def deployment(
    apache_kafka: ApacheKafka,
    seaweedfs: SeaweedFs,
    redis: Valkey,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    """All stages in one process, which each test leaves running."""
    kafka = KafkaConnection(bootstrap=apache_kafka.bootstrap, topic_prefix="disasters-")
    folder = tmp_path_factory.mktemp("disasters")
    made = Deployment(kafka, redis.url, S3Bucket.on(seaweedfs), folder)
    made.does(TOPICS)
    made.start()
    yield made
    made.stop()


def test_redis_lost(deployment: Deployment, redis: Valkey) -> None:
    # Given pairs, one of which was taken down
    deployment.publish(pairs(0, 3))
    assert deployment.finished(pairs(0, 3))
    deployment.does("kaption takedown pair-0 --yes")
    # When Redis is lost, and comes back empty while pairs wait
    redis.kill9()
    assert until(lambda: deployment.ready()[0] == 503, 60)
    assert "Redis" in deployment.ready()[1]
    deployment.publish(pairs(0, 2, again="-copy"))
    redis.start()
    # Then the workers go on by themselves; the takedown holds, and a copy is accepted
    assert deployment.finished(pairs(0, 2, again="-copy"))
    assert deployment.worker.ended is None
    outcomes = deployment.outcomes()
    assert (outcomes["pair-0-copy"], outcomes["pair-1-copy"]) == (["taken_down"], ["clean"])
    assert "ok     redis" in deployment.does(DOCTOR)


def test_topic_retention_passed(deployment: Deployment) -> None:
    # Given pairs that waited longer than the retention, while no worker ran
    deployment.publish(pairs(10, 12))
    assert deployment.finished(pairs(10, 12))
    deployment.stop()
    deployment.publish(pairs(12, 15))
    deployment.delete_records(RAW)
    deployment.publish(pairs(15, 17))
    # When workers come back
    deployment.start()
    # Then they go on with what is left
    assert deployment.finished(pairs(15, 17))
    assert not {"pair-12", "pair-13", "pair-14"} & deployment.outcomes().keys()
    # And when the source publishes all of that time again, the lost ones come, and no other twice
    deployment.publish(pairs(10, 17))
    assert deployment.finished(pairs(10, 17))
    assert deployment.finished(pairs(15, 17), times=2)
    outcomes = deployment.outcomes()
    assert [outcomes[f"pair-{number}"].count("clean") for number in range(10, 17)] == [1] * 7
