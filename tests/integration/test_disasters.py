"""Runbooks for disasters in docs/operating.md, carried out on real servers."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py

from kaption.connections.settings import KafkaConnection
from kaption.consumers import TopicStream
from kaption.objectstore import blob_key, open_store
from kaption.schemas import ImageSource, RawPair
from kaption.schemas.topics import RAW
from kaption.workers.demo.site import Page, Site
from kaption.workers.local import Valkey
from support.deployment import Deployment
from support.engine import until
from support.ingest_bench import image_bytes
from support.parts import S3Bucket
from tools.servers import ApacheKafka, SeaweedFs

pytestmark = pytest.mark.integration
DOCTOR = "kaption doctor --no-models"
TOPICS = "kaption topics create"
_OPERATING = (Path(__file__).parents[2] / "docs" / "operating.md").read_text("utf-8")
RUNBOOKS = _OPERATING.partition("\n## Disasters\n")[2].partition("\n## ")[0]


def written(command: str) -> str:
    """Return the command, which a runbook has word for word."""
    assert command in RUNBOOKS, command
    return command


def valkey_cli(server: Valkey, command: str) -> None:
    """Do what this line of valkey-cli does, which answers 1 or OK."""
    program, *words = shlex.split(written(command))
    assert program == "valkey-cli"
    database = 0
    if words[0] == "-n":
        database, words = int(words[1]), words[2:]
    with redis_py.Redis.from_url(server.database_url(database)) as client:
        assert client.execute_command(*words) == 1, command


def copy_objects(deployment: Deployment, command: str) -> None:
    """Do what this line of the AWS CLI does, in the bucket and below the root of the deployment."""
    *program, source, target = shlex.split(written(command))
    assert program == ["aws", "s3", "cp", "--recursive"]
    source, target = (each.removeprefix("s3://my-bucket/kaption/") for each in (source, target))
    client, bucket = deployment.s3.client(), deployment.s3.name
    for found in client.list_objects_v2(Bucket=bucket, Prefix=source).get("Contents", ()):
        key = target + found["Key"].removeprefix(source)
        client.copy_object(
            Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": found["Key"]}
        )


def lose(bucket: S3Bucket) -> None:
    """Delete the bucket with all that is in it."""
    client = bucket.client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name):
        for found in page.get("Contents", ()):
            client.delete_object(Bucket=bucket.name, Key=found["Key"])
    client.delete_bucket(Bucket=bucket.name)


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


def test_bucket_lost(deployment: Deployment, redis: Valkey) -> None:
    # Given a pair that was taken down, one that pairs.raw holds no more, and one with an address
    deployment.publish(pairs(20, 22))
    assert deployment.finished(pairs(20, 22))
    deployment.does("kaption takedown pair-20 --yes")
    deployment.delete_records(RAW)
    with Site({"/23.png": Page(image_bytes(23), "image/png")}) as site:
        address = ImageSource(url=f"{site.url}/23.png")
        fetched = RawPair(pair_id="pair-23", image=address, text="A red vase 23 on a wooden table")
        deployment.publish([*pairs(22, 23), fetched])
        assert deployment.finished([*pairs(22, 23), fetched])
        assert until(lambda: deployment.trained() >= {"pair-21", "pair-22", "pair-23"}, 60)
        # When the bucket is lost, and workers notice it at the next pair
        lose(deployment.s3)
        deployment.publish(pairs(24, 25))
        assert until(lambda: deployment.ready()[0] != 200, 120)
        deployment.stop()
        # And the runbook is carried out
        deployment.s3.client().create_bucket(Bucket=deployment.s3.name)
        deployment.does(written(DOCTOR))
        valkey_cli(redis, "valkey-cli copy kaption:takedowns kaption:takedowns db 1 replace")
        valkey_cli(redis, "valkey-cli flushdb")
        valkey_cli(redis, "valkey-cli -n 1 move kaption:takedowns 0")
        (deployment.folder / "names.txt").write_text("pair-20\n")
        deployment.does(written("kaption takedown --file names.txt --yes"))
        deployment.start()
        deployment.does(written("kaption replay raw --from-start --yes"))
        # Then what pairs.raw holds comes back, and no reader gets a pair without its image
        back = {"pair-22", "pair-23", "pair-24"}
        assert until(lambda: deployment.trained() >= back, 300), deployment.outcomes()
    assert deployment.trained() == back
    topic = TopicStream(deployment.kafka, deployment.s3.connection())
    assert {sample.pair.pair_id for sample in topic} == back
    # And a crawl of the rest comes too, without copies and without what was taken down
    again = [*pairs(20, 23, again="-again"), *pairs(21, 22, again="-copy")]
    deployment.publish(again)
    assert deployment.finished(again)
    outcomes = deployment.outcomes()
    assert outcomes["pair-20-again"] == ["taken_down"]  # by its image, which is on no list
    assert sorted(outcomes["pair-21-again"] + outcomes["pair-21-copy"]) == ["clean", "duplicate"]
    assert outcomes["pair-22-again"] == ["duplicate"]
    # And readers apply the takedown themselves
    deployment.pass_on("pair-20", image_of="pair-22")
    assert until(lambda: "pair-20" in deployment.sunk(), 60)
    assert not {"pair-20", "pair-20-again"} & deployment.trained()


def test_cluster_moved(deployment: Deployment, own_kafka: ApacheKafka) -> None:
    # Given pairs, one of which was taken down, and a new cluster
    deployment.publish(pairs(30, 33))
    assert deployment.finished(pairs(30, 33))
    deployment.does("kaption takedown pair-30 --yes")
    assert until(lambda: deployment.trained() >= {"pair-31", "pair-32"}, 60)
    # When the runbook is carried out
    deployment.stop()
    deployment.moves_to(own_kafka.bootstrap)
    deployment.does(written(TOPICS))
    deployment.settings["KAPTION_SINK__PREFIX"] = "dataset-2"
    copied = "s3://my-bucket/kaption/dataset/takedown/ s3://my-bucket/kaption/dataset-2/takedown/"
    copy_objects(deployment, f"aws s3 cp --recursive {copied}")
    deployment.start()
    # Then deduplication and takedowns go on
    new = [*pairs(33, 36), *pairs(30, 32, again="-copy")]
    deployment.publish(new)
    assert deployment.finished(new)
    outcomes = deployment.outcomes()
    assert (outcomes["pair-30-copy"], outcomes["pair-31-copy"]) == (["taken_down"], ["duplicate"])
    # And training gets all from both prefixes, but for what was taken down
    deployment.pass_on("pair-30", image_of="pair-33")
    assert until(lambda: "pair-30" in deployment.sunk("dataset-2"), 60)
    assert deployment.trained("dataset-2") == {"pair-33", "pair-34", "pair-35"}
    assert {"pair-31", "pair-32"} <= deployment.trained()
    assert "pair-30" in deployment.sunk().keys() - deployment.trained()
    # And a later takedown holds in both
    names = "pair-32 pair-33"
    deployment.does(f"kaption takedown {names} --yes")
    assert "pair-32" in deployment.trained()
    assert written("KAPTION_SINK__PREFIX=dataset")
    deployment.does(f"kaption takedown {names} --yes", KAPTION_SINK__PREFIX="dataset")
    assert {"pair-31", "pair-32"} & deployment.trained() == {"pair-31"}
    assert deployment.trained("dataset-2") == {"pair-34", "pair-35"}
    # And the image of a pair that no topic knows goes by its own name
    store, image = open_store(deployment.s3.connection()), deployment.sunk()["pair-32"]
    assert store.exists(blob_key(image))
    deployment.does(f"kaption takedown {image} --yes")
    assert not store.exists(blob_key(image))
    deployment.stop()
