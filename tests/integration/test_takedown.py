"""`kaption takedown` on a running pipeline removes what it names everywhere, and only that."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from kafka import KafkaProducer

from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.consumers import ShardOptions, ShardStream, Tombstone, TopicReader, TopicStream
from kaption.objectstore import ObjectStore, blob_key, open_store
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.takedowns import read_takedowns, takedown_keys
from kaption.producers import Publisher
from kaption.schemas import (
    CleanPair,
    ImageSource,
    RawPair,
    RejectedPair,
    Topic,
    encode,
    headers_of,
)
from kaption.schemas.topics import CLEAN, REJECTED
from kaption.workers.demo.site import Page, Site
from kaption.workers.local import Valkey
from support.engine import until
from support.ingest_bench import image_bytes
from support.killed_takedown import STEPS
from support.parts import S3Bucket, serving
from support.program import PROGRAM
from support.replicas import Replica
from support.topics import with_topics
from tools.servers import ApacheKafka

pytestmark = pytest.mark.integration

KINDS = ("a-pair", "image-url", "sent-with-url", "page-url", "delivered", "stored", "domain")
SENT = "https://cdn.sent.example/a.png"
OTHERS = ("other-0", "other-1", "other-2")
NAMES = (*KINDS, "late", *(f"killed-{step}" for step in STEPS), *OTHERS)


_PATH = os.pathsep.join(map(str, Path(__file__).parents[1:3]))
"""Where a subprocess finds `support` and, in a checkout that is not installed, `kaption`."""


@dataclass
class Pipeline:
    """All stages in one process, and what went through them."""

    kafka: KafkaConnection
    store: StoreConnection
    objects: ObjectStore
    redis: redis.Redis
    settings: dict[str, str]
    site: Site
    gone: set[str] = field(default_factory=set)
    pairs: dict[str, CleanPair] = field(default_factory=dict)

    def raw(self, name: str) -> RawPair:
        number = NAMES.index(name)
        image = ImageSource(inline=image_bytes(100 + number))
        if name == "image-url":
            image = ImageSource(url=f"{self.site.url}/a.png")
        page = f"https://www.{name}.example/page"
        text = "A large red circle on a snowy field"
        extra = {"image_url": SENT} if name == "sent-with-url" else {}
        return RawPair(pair_id=name, text=text, image=image, page_url=page, extra=extra)

    def copy(self, name: str) -> RawPair:
        """Make a pair with the same image bytes from another address."""
        image = ImageSource(inline=image_bytes(100 + NAMES.index(name)))
        page = "https://elsewhere.example/"
        return RawPair(pair_id=f"copy-of-{name}", text="A circle", image=image, page_url=page)

    def publish(self, *records: RawPair) -> None:
        with Publisher(self.kafka) as publisher:
            for record in records:
                publisher.publish(record)

    def send(self, pair: CleanPair) -> None:
        producer = KafkaProducer(bootstrap_servers=self.kafka.bootstrap)
        name = self.kafka.topic_prefix + CLEAN.name
        producer.send(name, encode(pair), key=pair.pair_id.encode(), headers=headers_of(pair))
        producer.close()

    def takedown(self, *arguments: str, killed_at: str | None = None) -> Any:
        start = [PROGRAM]
        if killed_at is not None:
            start = [sys.executable, "-m", "support.killed_takedown"]
            start.append(killed_at)
        return subprocess.run(
            [*start, "takedown", *arguments],
            env=os.environ | self.settings | {"PYTHONPATH": _PATH},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def read(self, topic: Topic) -> Iterator[Any]:
        with TopicReader(self.kafka, [topic]) as reader:
            yield from (read.record for read in reader)

    def rejections(self, name: str) -> list[str]:
        found = (each for each in self.read(REJECTED) if isinstance(each, RejectedPair))
        return [each.reason.value for each in found if each.pair_id == name]


@pytest.fixture(scope="module")
def pipeline(
    request: pytest.FixtureRequest,
    apache_kafka: ApacheKafka,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pipeline]:
    """Give the pipeline when every pair is in a shard."""
    folder = tmp_path_factory.mktemp("takedown")
    with ExitStack() as stack:
        store = StoreConnection(url=str(folder / "store"))
        if request.param == "s3":
            store = S3Bucket.on(request.getfixturevalue("seaweedfs")).connection("team")
        site = stack.enter_context(
            Site({"/a.png": Page(image_bytes(100 + NAMES.index("image-url")), "image/png")})
        )
        valkey = stack.enter_context(serving(Valkey()))
        kafka = with_topics(apache_kafka.bootstrap, f"t{uuid.uuid4().hex[:8]}.")
        settings = _settings(kafka, valkey.url, store, folder)
        client = stack.enter_context(redis.Redis.from_url(valkey.url))
        made = Pipeline(kafka, store, open_store(store), client, settings, site)
        worker = Replica("all", 0, settings, folder)
        worker.start()
        stack.callback(worker.kill9)
        made.publish(*map(made.raw, NAMES))
        assert until(lambda: _sunk(made.objects) == len(NAMES), 300), worker.log.read_text()[-4000:]
        made.pairs = {pair.pair_id: pair for pair in made.read(CLEAN)}
        yield made


def _settings(
    kafka: KafkaConnection, redis_url: str, store: StoreConnection, folder: Path
) -> dict[str, str]:
    secret = store.secret_key.get_secret_value() if store.secret_key else None
    given = {
        "KAFKA__BOOTSTRAP": kafka.bootstrap,
        "KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "REDIS__URL": redis_url,
        "STORE__URL": store.url,
        "STORE__ENDPOINT": store.endpoint,
        "STORE__ACCESS_KEY": store.access_key,
        "STORE__SECRET_KEY": secret,
        "HEALTH__PORT": "0",
        "INGEST__FETCH__ALLOW_NETWORKS": '["127.0.0.0/8"]',
        "INGEST__IMAGE__DECODE_PROCESSES": "1",
        # Every pair is captioned and kept, whatever the models think of it.
        "SCORE__GOOD_SCORE": "2",
        "SELECT__MIN_SCORE": "-1",
        "RECAPTION__TRANSFORMERS__SAMPLING__CANDIDATES": "1",
        "SINK__SHARD_AGE_S": "1",
        "SINK__SPOOL": str(folder),
        "TAKEDOWN__SETTLE_S": "0",
    }
    return {f"KAPTION_{name}": value for name, value in given.items() if value is not None}


def _sunk(objects: ObjectStore) -> int:
    return sum(manifest.pairs for manifest in read_manifests(objects, "dataset"))


def named(pipeline: Pipeline, name: str) -> str:
    """Return the argument by which the user names the pair."""
    image = pipeline.pairs[name].image
    return {
        "image-url": f"{pipeline.site.url}/a.png",
        "sent-with-url": SENT,
        "page-url": "https://WWW.page-url.example/page#picture",
        "delivered": image.original_sha256,
        "stored": image.blob.sha256,
        "domain": "domain.example",
    }.get(name, name)


def assert_gone(pipeline: Pipeline, name: str) -> None:
    """Check that no reader, the store or Redis has the pair, and that all others are there."""
    pipeline.gone.add(name)
    left = set(NAMES) - pipeline.gone
    # Readers
    shards = ShardStream(pipeline.store, "dataset", ShardOptions(shuffle=False))
    assert {sample.pair.pair_id for sample in shards} == left
    topic = TopicStream(pipeline.kafka, pipeline.store, "dataset")
    assert {sample.pair.pair_id for sample in topic} == left
    # The topic itself: the newest message of its key
    newest = {
        record.key if isinstance(record, Tombstone) else record.pair_id: record
        for record in pipeline.read(CLEAN)
    }
    assert {name for name, record in newest.items() if isinstance(record, CleanPair)} == left
    # The store
    blobs = {key.rpartition("/")[2] for key in pipeline.objects.list("blobs/")}
    assert blobs == {pipeline.pairs[name].image.blob.sha256 for name in left}
    assert list(pipeline.objects.list("dataset/takedown-left/")) == []
    # Redis
    known = _known(pipeline.redis)
    for each, pair in pipeline.pairs.items():
        found = [mark for mark in _marks(pair) if any(mark in one for one in known)]
        assert (found == []) == (each in pipeline.gone), (each, found)


def assert_refused(pipeline: Pipeline, *records: RawPair) -> None:
    """Check that ingest rejects the pairs as taken down."""
    pipeline.publish(*records)
    names = [record.pair_id for record in records]
    assert until(lambda: all(map(pipeline.rejections, names)), 30)
    assert [pipeline.rejections(name) for name in names] == [["taken_down"]] * len(names)


def _marks(pair: CleanPair) -> list[bytes]:
    """Return all by which Redis may know an image; an exact claim has 16 bytes of its sha256."""
    image = pair.image
    hexadecimal = [image.blob.sha256, image.original_sha256, image.original_sha256[:32]]
    if image.perceptual_hash is not None:
        hexadecimal.append(image.perceptual_hash.partition(":")[2])
    return [*map(bytes.fromhex, hexadecimal), *(text.encode() for text in hexadecimal)]


def _known(client: redis.Redis) -> list[bytes]:
    """Return all keys, fields, members and values."""
    found: list[Any] = []
    for key in client.scan_iter():
        match client.type(key):
            case b"string":
                found += [key, client.get(key)]
            case b"hash":
                found += [key, *(part for item in client.hgetall(key).items() for part in item)]
            case b"list":
                found += [key, *client.lrange(key, 0, -1)]
            case b"set":
                found += [key, *client.smembers(key)]
    return found


@pytest.mark.parametrize("pipeline", ["s3"], indirect=True)
@pytest.mark.parametrize("name", KINDS)
def test_a_takedown_removes_its_pairs_for_good_and_no_others(pipeline: Pipeline, name: str) -> None:
    # Given what it would touch
    what = named(pipeline, name)
    counted = pipeline.takedown(what, "--dry-run")
    assert counted.stdout.startswith("1 pairs in pairs.clean, 1 samples in shards, 1 blobs, ")
    # When it is taken down
    ended = pipeline.takedown(what, "--yes", "--reason", "asked by the owner")
    assert ended.returncode == 0, ended.stderr
    assert counted.stdout.replace(" 1 samples in shards,", "") in ended.stdout
    # Then it is gone, and when it comes again it is rejected
    assert_gone(pipeline, name)
    assert_refused(pipeline, pipeline.raw(name), pipeline.copy(name))
    assert_gone(pipeline, name)


@pytest.mark.parametrize("pipeline", ["s3"], indirect=True)
def test_a_takedown_of_a_domain_asks_first(pipeline: Pipeline) -> None:
    before = list(pipeline.objects.list("dataset/takedown/"))
    ended = pipeline.takedown("other-0.example")
    assert ended.returncode == 1
    assert ended.stdout.startswith("1 pairs in pairs.clean, 1 samples in shards, 1 blobs, ")
    assert "nothing is taken down: say yes to everything from other-0.example" in ended.stderr
    assert list(pipeline.objects.list("dataset/takedown/")) == before


@pytest.mark.parametrize("pipeline", ["s3"], indirect=True)
def test_a_later_run_removes_what_a_worker_held_during_the_first(pipeline: Pipeline) -> None:
    # Given a pair that was taken down while a worker stored it, so that it is here once more
    pair = pipeline.pairs["late"]
    assert pipeline.takedown("late", "--yes").returncode == 0
    assert_gone(pipeline, "late")
    pipeline.objects.put(blob_key(pair.image.blob.sha256), b"its picture")
    pipeline.send(pair)
    # When all takedowns are carried out again
    ended = pipeline.takedown()
    # Then it is gone
    assert "1 pairs in pairs.clean" in ended.stdout
    assert_gone(pipeline, "late")


@pytest.mark.parametrize("pipeline", ["folder"], indirect=True)
@pytest.mark.parametrize("step", STEPS)
def test_the_next_run_finishes_a_killed_takedown(pipeline: Pipeline, step: str) -> None:
    # Given a run that is killed when it reaches a step
    name = f"killed-{step}"
    killed = pipeline.takedown(name, "--yes", killed_at=step)
    assert killed.returncode == -9, killed.stderr
    # Then no image is removed before it is refused
    image = pipeline.pairs[name].image
    takedowns = read_takedowns(pipeline.objects, takedown_keys(pipeline.objects, "dataset"))
    refused = {each.value for each in takedowns.values()}
    removing = step in ("withdraw", "blobs", "forget", "finish")
    assert ({image.blob.sha256, image.original_sha256} <= refused) == removing
    # When it is run again; once the search is done, any run finishes it
    searched = removing or step == "images"
    ended = pipeline.takedown("of nobody" if searched else name, "--yes")
    # Then all is done
    assert ended.returncode == 0, ended.stderr
    assert_gone(pipeline, name)
    assert_refused(pipeline, pipeline.raw(name), pipeline.copy(name))
