"""`kaption rebuild redis` gives workers the answers that they had before Redis was lost."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
import redis
from kafka import KafkaProducer
from PIL import Image, ImageEnhance

from bench.near_images import photographs
from kaption.objectstore.dataset.takedowns import add_takedown
from kaption.objectstore.folder import FolderStore
from kaption.schemas import TOPICS, IngestedPair, RawPair, Reason, Takedown, TakedownKind, encode
from kaption.schemas.topics import INGESTED
from kaption.schemas.wire import headers_of
from kaption.testing.records import caption, clean_pair, incoming
from kaption.workers.decode.decode import decode
from kaption.workers.decode.sketch import sketch
from kaption.workers.local import Tansu
from kaption.workers.policy.ingest import ImagePolicy
from kaption.workers.rebuild import Rebuild
from kaption.workers.runtime.stage import Incoming
from kaption.workers.settings import Settings
from support.ingest_bench import NOW, Bench, emitted, raw, reasons
from support.photographs import saved
from support.sink_records import TOPIC, done, open_sink
from support.sink_records import run as run_sink
from support.topics import with_topics

pytestmark = pytest.mark.slow

IMAGES = list(photographs(6, 3))


def crawled(quality: int, first: int) -> list[Incoming[RawPair]]:
    """The images as JPEG files of this quality. Four of them share a text."""
    files = []
    for image in IMAGES:
        file = BytesIO()
        image.save(file, "JPEG", quality=quality)
        files.append(file.getvalue())
    return [
        raw(data, first + at, "A text of four" if at < 4 else f"A lamp number {at}")
        for at, data in enumerate(files)
    ]


@pytest.fixture
def settings(tansu: Tansu, topic_prefix: str, redis_url: str, tmp_path: Path) -> Settings:
    topics = [replace(topic, partitions=1) for topic in TOPICS]
    kafka = with_topics(tansu.bootstrap, topic_prefix, topics)
    return Settings.model_validate(
        {
            "kafka": kafka.model_dump(),
            "redis": {"url": redis_url},
            "store": {"url": str(tmp_path)},
        }
    )


def keep(settings: Settings, pairs: list[IngestedPair], folder: Path) -> None:
    """Put the first half of the pairs into shards, and the second half into pairs.ingested."""
    half = len(pairs) // 2
    clean = [
        incoming(
            clean_pair(at, caption("A lamp", score=0.3), image=pair.image, dedup=pair.dedup)
            .model_copy(update={"pair_id": pair.pair_id, "clean_text": pair.clean_text}),
            at,
            0,
            TOPIC,
        )
        for at, pair in enumerate(pairs[:half])
    ]  # fmt: skip
    assert done(run_sink(open_sink(FolderStore(folder), folder / "spool", "w"), clean))
    producer = KafkaProducer(bootstrap_servers=settings.kafka.bootstrap)
    for pair in pairs[half:]:
        name = settings.kafka.topic_prefix + INGESTED.name
        producer.send(name, encode(pair), headers=headers_of(pair), partition=0)
    producer.close()


def lost(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()


def test_redeliveries_and_copies_get_the_answers_of_before(
    bench: Bench, settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    # Given pairs in shards and topics, whose claims are lost with Redis
    pairs = [emitted(one) for one in bench.run(*crawled(90, 0))]
    keep(settings, pairs, tmp_path)
    lost(redis_url)

    # When they are claimed again, twice
    rebuilt = [Rebuild(settings).run(lambda _: None) for _ in range(2)]

    # Then each record gets its own claims and ranks again, and copies are refused as before
    assert [each.pairs for each in rebuilt] == [6, 6]
    again = [emitted(one) for one in bench.run(*crawled(90, 0))]
    assert [each.dedup for each in again] == [each.dedup for each in pairs]
    assert reasons(bench.run(*crawled(90, 100))) == [Reason.DUPLICATE] * 6
    assert reasons(bench.run(*crawled(80, 200))) == [Reason.NEAR_DUPLICATE] * 6
    with redis.Redis.from_url(redis_url) as client:
        assert sum(map(client.hlen, client.scan_iter(match="*near3:look:*"))) == 6


def faint() -> Image.Image:
    """A square on a smooth ground: enough structure to be compared, until JPEG takes a little."""
    for level in range(256):
        image = Image.linear_gradient("L").resize((400, 300))
        image.paste(level, (180, 140, 200, 160))
        made = decode(saved(image.convert("RGB"), "PNG"), ImagePolicy())
        if made.sketch is not None and sketch(Image.open(BytesIO(made.jpeg))) is None:
            return image.convert("RGB")
    raise AssertionError("no square has so little structure")


def test_an_image_whose_stored_form_has_less_structure_is_claimed_again(
    bench: Bench, settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    image = faint()
    pairs = [emitted(one) for one in bench.run(raw(saved(image, "PNG"), 1))]
    keep(settings, pairs, tmp_path)
    lost(redis_url)

    Rebuild(settings).run(lambda _: None)

    brighter = saved(ImageEnhance.Brightness(image).enhance(1.1), "PNG")
    assert reasons(bench.run(raw(brighter, 2))) == [Reason.NEAR_DUPLICATE]


def test_a_rebuild_that_was_killed_continues(
    bench: Bench, settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    # Given a rebuild that died in the topics, after the shards
    pairs = [emitted(one) for one in bench.run(*crawled(90, 0))]
    keep(settings, pairs, tmp_path)
    lost(redis_url)

    def dies(line: str) -> None:
        if "shard" not in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Rebuild(settings).run(dies)

    # When / Then the next one reads nothing twice, and all is claimed
    assert Rebuild(settings).run(lambda _: None).pairs == 0
    assert reasons(bench.run(*crawled(80, 200))) == [Reason.NEAR_DUPLICATE] * 6
    with redis.Redis.from_url(redis_url) as client:
        assert not client.exists("kaption:rebuild")


def test_pairs_that_are_taken_down_are_not_claimed(
    bench: Bench, settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    pairs = [emitted(one) for one in bench.run(*crawled(90, 0))]
    keep(settings, pairs, tmp_path)
    for pair in (pairs[0], pairs[-1]):
        takedown = Takedown(kind=TakedownKind.PAIR, value=pair.pair_id, requested_at=NOW)
        add_takedown(FolderStore(tmp_path), "dataset", takedown)
    lost(redis_url)

    rebuilt = Rebuild(settings).run(lambda _: None)

    holders = bench.dedup.holders([pair.image.original_sha256 for pair in pairs])
    assert rebuilt.pairs == 4
    assert [holder is None for holder in holders] == [True, False, False, False, False, True]
