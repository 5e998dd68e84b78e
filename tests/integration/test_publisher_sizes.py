"""What is too large for a message is refused before it is sent, or stored and named."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.objectstore import BlobStore, open_store
from kaption.producers.errors import PublishError, TooLargeError
from kaption.producers.identity import pair_id
from kaption.producers.publisher import Publisher
from kaption.schemas import ImageSource
from kaption.schemas.limits import INLINE_IMAGE_BYTES
from kaption.workers.local import Tansu
from support.parts import S3Bucket
from support.publishing import TOPIC, noisy, pair, published, published_pairs, with_topic

BROKERS = ["tansu", pytest.param("apache_kafka", marks=pytest.mark.integration)]


@pytest.fixture(params=BROKERS)
def connection(request: pytest.FixtureRequest, topic_prefix: str) -> KafkaConnection:
    return with_topic(request.getfixturevalue(request.param).bootstrap, topic_prefix)


def test_the_largest_inline_image_passes(connection: KafkaConnection) -> None:
    image = os.urandom(INLINE_IMAGE_BYTES)

    with Publisher(connection) as publisher:
        publisher.publish(image=image, text="t")

    (found,) = published_pairs(connection)
    assert found.image.inline == image


def test_an_image_above_the_limit_is_refused_with_what_to_do(
    connection: KafkaConnection, tmp_path: Path
) -> None:
    with (tmp_path / "large.tif").open("wb") as file:
        file.truncate(INLINE_IMAGE_BYTES + 1)

    with Publisher(connection) as publisher:
        for image in (bytes(INLINE_IMAGE_BYTES + 1), tmp_path / "large.tif"):
            with pytest.raises(TooLargeError, match=r"give its URL.*store=StoreConnection"):
                publisher.publish(image=image, text="t")

    assert published(connection) == []


def test_a_message_above_the_topics_limit_is_refused_before_it_is_sent(
    connection: KafkaConnection,
) -> None:
    with Publisher(connection) as publisher:
        with pytest.raises(TooLargeError, match="too many for"):
            publisher.publish_bytes(bytes(TOPIC.max_message_bytes))
        publisher.publish(pair(1))

    assert [read.record for read in published(connection)] == [pair(1)]


def test_a_topic_with_a_lower_limit_is_respected(tansu: Tansu, topic_prefix: str) -> None:
    connection = with_topic(tansu.bootstrap, topic_prefix, replace(TOPIC, max_message_bytes=50_000))

    with Publisher(connection) as publisher:
        with pytest.raises(TooLargeError, match=r"store=.* or raise the topic's max.message"):
            publisher.publish(noisy(1, 40_000))
        with pytest.raises(TooLargeError, match=r"pairs\.raw .* raise the topic's max.message"):
            publisher.publish_bytes(bytes(60_000))
        publisher.publish(noisy(2, 30_000))

    assert [each.pair_id for each in published_pairs(connection)] == ["pair-2"]


@pytest.mark.parametrize("max_message_bytes", [TOPIC.max_message_bytes, 50_000])
def test_an_image_too_large_for_a_message_is_stored_and_named(
    tansu: Tansu, topic_prefix: str, tmp_path: Path, max_message_bytes: int
) -> None:
    topic = replace(TOPIC, max_message_bytes=max_message_bytes)
    connection = with_topic(tansu.bootstrap, topic_prefix, topic)
    store = StoreConnection(url=str(tmp_path))
    large = os.urandom(INLINE_IMAGE_BYTES + 1 if topic == TOPIC else 40_000)

    with Publisher(connection, store=store) as publisher:
        publisher.publish(image=large, text="t", source="shop")
        publisher.publish(image=b"small", text="t", source="shop")

    found = {each.pair_id: each.image for each in published_pairs(connection)}
    small = ImageSource(inline=b"small")
    assert found.pop(pair_id("shop", None, small)) == small
    ((key, stored),) = found.items()
    assert stored.blob is not None
    assert key == pair_id("shop", None, stored)
    assert BlobStore(open_store(store)).get(stored.blob) == large


def test_what_cannot_be_stored_is_not_sent(tansu: Tansu, topic_prefix: str) -> None:
    connection = with_topic(tansu.bootstrap, topic_prefix)
    broken = StoreConnection(url=__file__)

    with (
        Publisher(connection, store=broken) as publisher,
        pytest.raises(PublishError, match="its record was not sent"),
    ):
        publisher.publish(image=bytes(INLINE_IMAGE_BYTES + 1), text="t")

    assert published(connection) == []


@pytest.mark.integration
def test_a_large_image_goes_to_s3(tansu: Tansu, topic_prefix: str, s3: S3Bucket) -> None:
    connection = with_topic(tansu.bootstrap, topic_prefix)
    store = s3.connection("crawl")
    large = os.urandom(INLINE_IMAGE_BYTES + 1)

    with Publisher(connection, store=store) as publisher:
        # Twice: the second time it is there already.
        ids = {publisher.publish(image=large, text="t") for _ in range(2)}

    assert len(ids) == 1
    for each in published_pairs(connection):
        assert each.image.blob is not None
        assert BlobStore(open_store(store)).get(each.image.blob) == large


def test_what_is_no_pair_leaves_no_blob(tansu: Tansu, topic_prefix: str, tmp_path: Path) -> None:
    connection = with_topic(tansu.bootstrap, topic_prefix)
    image = bytes(INLINE_IMAGE_BYTES + 1)

    with (
        Publisher(connection, store=StoreConnection(url=str(tmp_path))) as publisher,
        pytest.raises(ValueError, match="text"),
    ):
        publisher.publish(image=image)  # type: ignore[call-overload]  # the case

    assert list(tmp_path.iterdir()) == []
    assert published(connection) == []
