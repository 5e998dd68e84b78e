"""What the publisher takes arrives once, whole and in order, or is reported."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.memory_records import MemoryRecords

from kaption.connections.kafka.messages import Message
from kaption.connections.kafka.topics import TopicAdmin
from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.objectstore import BlobStore, open_store
from kaption.producers.errors import (
    BufferFullError,
    ClosedError,
    DeliveryError,
    PublishError,
    TooLargeError,
)
from kaption.producers.identity import pair_id
from kaption.producers.options import PublisherOptions
from kaption.producers.publisher import Publisher
from kaption.schemas import ImageSource, MalformedRecordError, RawPair, encode
from kaption.schemas.limits import INLINE_IMAGE_BYTES
from kaption.testing.records import raw_pair
from kaption.workers.local import Tansu
from support.parts import S3Bucket, serving
from support.publishing import TOPIC, URL, pair, published, published_pairs, with_topic
from tools.servers import ApacheKafka

BROKERS = ["tansu", pytest.param("apache_kafka", marks=pytest.mark.integration)]


@pytest.fixture(params=BROKERS)
def connection(request: pytest.FixtureRequest, topic_prefix: str) -> KafkaConnection:
    return with_topic(request.getfixturevalue(request.param).bootstrap, topic_prefix)


def test_pairs_arrive_as_they_were_published(connection: KafkaConnection) -> None:
    pairs = [pair(number, text=f"Krug {number} ☕") for number in range(500)]

    with Publisher(connection) as publisher:
        assert [publisher.publish(each) for each in pairs] == [each.pair_id for each in pairs]

    found = published_pairs(connection)
    assert {each.pair_id: each for each in found} == {each.pair_id: each for each in pairs}
    assert len(found) == 500
    assert published(connection)[0].headers == [("kaption-schema", b"RawPair/1")]


def test_versions_of_one_pair_keep_their_order(connection: KafkaConnection) -> None:
    with Publisher(connection, options=PublisherOptions(linger_s=0)) as publisher:
        for version in range(200):
            publisher.publish(pair(7, text=str(version)))

    texts = [each.text for each in published_pairs(connection)]
    assert texts == [str(version) for version in range(200)]


def test_an_image_may_be_bytes_a_path_a_url_or_a_source(
    connection: KafkaConnection, tmp_path: Path
) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"\xff\xd8cat")
    given: list[bytes | Path | str | ImageSource] = [
        b"\x89PNG",
        tmp_path / "cat.jpg",
        URL,
        ImageSource(url=URL + "?2"),
    ]

    with Publisher(connection) as publisher:
        ids = [publisher.publish(image=image, text="t", source="shop") for image in given]

    expected = [
        ImageSource(inline=b"\x89PNG"),
        ImageSource(inline=b"\xff\xd8cat"),
        ImageSource(url=URL),
        ImageSource(url=URL + "?2"),
    ]
    assert ids == [pair_id("shop", None, image) for image in expected]
    found = {each.pair_id: each.image for each in published_pairs(connection)}
    assert found == dict(zip(ids, expected, strict=True))


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


def test_nothing_invalid_is_sent_whatever_it_was_made_of(connection: KafkaConnection) -> None:
    unchecked = pair(1).model_copy(update={"text": "x" * 100_000})

    with Publisher(connection) as publisher:
        with pytest.raises(MalformedRecordError, match="text: String should have at most"):
            publisher.publish(unchecked)
        with pytest.raises(ValueError, match="text"):
            publisher.publish(image=URL, text=7)  # type: ignore[call-overload]  # the case
        with pytest.raises(ValueError, match=r"'/etc/hostname' is no URL"):
            publisher.publish(image="/etc/hostname", text="t")
        with pytest.raises(OSError, match=r"no-such\.jpg.*No such file"):
            publisher.publish(image=Path("no-such.jpg"), text="t")

    assert published(connection) == []


def test_what_is_no_pair_arrives_as_it_was_with_its_headers(connection: KafkaConnection) -> None:
    headers = [("kaption-source-error", b"not JSON")]

    with Publisher(connection) as publisher:
        publisher.publish_bytes(b"{oops}", headers=headers)
        publisher.publish(pair(1))

    (dead,) = [read for read in published(connection) if not isinstance(read.record, RawPair)]
    assert isinstance(dead.record, MalformedRecordError)
    assert dead.headers == headers


def noisy(number: int, size: int) -> RawPair:
    return raw_pair(number, text="t", image=ImageSource(inline=os.urandom(size)))


def test_a_topic_with_a_lower_limit_is_respected(tansu: Tansu, topic_prefix: str) -> None:
    connection = with_topic(tansu.bootstrap, topic_prefix, replace(TOPIC, max_message_bytes=50_000))

    with Publisher(connection) as publisher:
        with pytest.raises(TooLargeError, match=r"store=.* or raise the topic's max.message"):
            publisher.publish(noisy(1, 40_000))
        with pytest.raises(TooLargeError, match=r"pairs\.raw .* raise the topic's max.message"):
            publisher.publish_bytes(bytes(60_000))
        publisher.publish(noisy(2, 30_000))

    assert [each.pair_id for each in published_pairs(connection)] == ["pair-2"]


@pytest.mark.integration
def test_what_the_broker_refuses_is_reported_whole_and_publishing_goes_on(
    apache_kafka: ApacheKafka, topic_prefix: str
) -> None:
    connection = with_topic(apache_kafka.bootstrap, topic_prefix)
    refused = noisy(1, 40_000)

    with Publisher(connection) as publisher:
        publisher.publish(pair(0))
        publisher.flush()
        with TopicAdmin(connection) as admin:
            admin.apply([replace(TOPIC, max_message_bytes=30_000)])
        publisher.publish(refused)
        with pytest.raises(DeliveryError, match="1 records were not delivered: pair-1") as failed:
            publisher.flush()
        publisher.publish(pair(2))

    (failure,) = failed.value.failures
    assert failure.message == Message(
        encode(refused), b"pair-1", (("kaption-schema", b"RawPair/1"),)
    )
    assert {each.pair_id for each in published_pairs(connection)} == {"pair-0", "pair-2"}


def test_a_broker_that_stops_answering_fills_the_buffer_then_fails_the_records(
    topic_prefix: str,
) -> None:
    with serving(Tansu()) as server:
        connection = with_topic(server.bootstrap, topic_prefix)
        publisher = Publisher(
            connection,
            options=PublisherOptions(buffer_bytes=20_000, max_block_s=0.5, delivery_timeout_s=4),
        )
        publisher.publish(pair(0))
        publisher.flush()

        server.freeze()
        taken = 0
        with pytest.raises(BufferFullError, match="bytes wait for"):  # noqa: PT012 - the loop fills
            while taken < 1000:
                publisher.publish(pair(taken))
                taken += 1
        with pytest.raises(DeliveryError) as failed:
            publisher.flush()
        server.thaw()

        assert 0 < taken < 40
        assert len(failed.value.failures) == taken
        publisher.close()


def test_without_patience_a_full_buffer_is_an_error_at_once(topic_prefix: str) -> None:
    with serving(Tansu()) as server:
        connection = with_topic(server.bootstrap, topic_prefix)
        with Publisher(
            connection, options=PublisherOptions(buffer_bytes=2_000, max_block_s=0)
        ) as publisher:
            accepted = [publisher.publish(pair(0))]
            publisher.flush()
            server.freeze()
            with pytest.raises(BufferFullError, match="none came for 0 s"):  # noqa: PT012 - the loop fills
                while len(accepted) < 100:
                    accepted.append(publisher.publish(pair(len(accepted))))
            server.thaw()

        assert 1 < len(accepted) < 6
        ids = sorted(each.pair_id for each in published_pairs(connection))
        assert ids == accepted


def test_a_buffer_full_of_failures_reports_them_to_the_next_publish(topic_prefix: str) -> None:
    with serving(Tansu()) as server:
        connection = with_topic(server.bootstrap, topic_prefix)
        publisher = Publisher(
            connection,
            options=PublisherOptions(buffer_bytes=5_000, max_block_s=30, delivery_timeout_s=2),
        )
        publisher.publish(pair(0))
        publisher.flush()

        server.freeze()
        with pytest.raises(DeliveryError) as failed:  # noqa: PT012 - the loop fills the buffer
            for number in range(1000):
                publisher.publish(pair(number))
        server.thaw()

        assert failed.value.failures
        publisher.close()


@pytest.mark.integration
def test_records_travel_together_and_compressed(
    apache_kafka: ApacheKafka, topic_prefix: str
) -> None:
    # Given pairs that are published while others wait, each worth compressing on its own
    connection = with_topic(apache_kafka.bootstrap, topic_prefix)
    with Publisher(connection, options=PublisherOptions(linger_s=0.5)) as publisher:
        for number in range(300):
            publisher.publish(pair(number, text="mug " * 200))
    # When the broker's files are read, where batches are as they were sent
    logs = (apache_kafka.folder / "data").glob(f"{topic_prefix}{TOPIC.name}-*/*.log")
    batches = [batch for log in logs for batch in stored_batches(log)]
    # Then many are in a batch, and each batch is compressed
    assert sum(len(list(batch)) for batch in batches) == 300
    assert len(batches) <= 30
    assert {batch.compression_type for batch in batches} == {DefaultRecordBatch.CODEC_ZSTD}


def stored_batches(log: Path) -> Iterator[DefaultRecordBatch]:
    records = MemoryRecords(log.read_bytes())
    while records.has_next():
        yield records.next_batch()


@pytest.mark.integration
def test_a_broker_that_restarts_gets_each_record_once(
    own_kafka: ApacheKafka, topic_prefix: str
) -> None:
    connection = with_topic(own_kafka.bootstrap, topic_prefix)

    with Publisher(connection) as publisher:
        for number in range(300):
            publisher.publish(pair(number))
            if number == 100:
                own_kafka.kill9()
            if number == 200:
                own_kafka.start()

    ids = sorted(each.pair_id for each in published_pairs(connection))
    assert ids == sorted(f"pair-{number}" for number in range(300))


@pytest.mark.integration
def test_a_missing_topic_says_how_to_create_it(
    apache_kafka: ApacheKafka, topic_prefix: str
) -> None:
    connection = KafkaConnection(bootstrap=apache_kafka.bootstrap, topic_prefix=topic_prefix)

    with pytest.raises(PublishError, match=r"pairs\.raw .* was not found .*kaption topics create"):
        Publisher(connection, options=PublisherOptions(connect_timeout_s=1))


def test_a_silent_address_is_an_error_that_names_it() -> None:
    with pytest.raises(PublishError, match=r"no broker answers at 127\.0\.0\.1:9"):
        Publisher(
            KafkaConnection(bootstrap="127.0.0.1:9"), options=PublisherOptions(connect_timeout_s=1)
        )


def test_the_first_error_of_a_block_is_the_one_seen(topic_prefix: str) -> None:
    with serving(Tansu()) as server:
        connection = with_topic(server.bootstrap, topic_prefix)

        with (  # noqa: PT012 - what comes before the error is the case
            pytest.raises(KeyError) as seen,
            Publisher(connection, options=PublisherOptions(delivery_timeout_s=2)) as publisher,
        ):
            publisher.publish(pair(0))
            publisher.flush()
            server.freeze()
            publisher.publish(pair(1))
            raise KeyError("first")
        server.thaw()

    assert seen.value.args == ("first",)
    assert "1 records were not delivered: pair-1" in seen.value.__notes__[0]


def test_a_closed_publisher_takes_nothing_more(tansu: Tansu, topic_prefix: str) -> None:
    connection = with_topic(tansu.bootstrap, topic_prefix)
    publisher = Publisher(connection)
    publisher.publish(pair(1))
    publisher.close()
    publisher.close()

    for call in (
        lambda: publisher.publish(pair(2)),
        lambda: publisher.publish_bytes(b"{}"),
        publisher.flush,
        publisher.__enter__,
    ):
        with pytest.raises(ClosedError, match="make another one"):
            call()
    assert [each.pair_id for each in published_pairs(connection)] == ["pair-1"]


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
    broken = StoreConnection(url="ftp://a.example")

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
        publisher.publish(image=image, text=7)  # type: ignore[call-overload]  # the case

    assert list(tmp_path.iterdir()) == []
    assert published(connection) == []


def test_publishing_imports_nothing_heavy() -> None:
    script = (
        "import sys, kaption.producers.publisher, kaption.producers.sources.jsonl\n"
        "heavy = {'torch', 'redis', 'boto3', 'PIL', 'numpy', 'pyarrow', 'workers'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")
