"""What the publisher takes arrives once, whole and in order."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.memory_records import MemoryRecords

from kaption.connections.settings import KafkaConnection
from kaption.producers.errors import ClosedError
from kaption.producers.identity import pair_id
from kaption.producers.options import PublisherOptions
from kaption.producers.publisher import Publisher
from kaption.schemas import ImageSource, MalformedRecordError, RawPair
from kaption.workers.local import Tansu
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


def test_nothing_invalid_is_sent_whatever_it_was_made_of(connection: KafkaConnection) -> None:
    unchecked = pair(1).model_copy(update={"text": "x" * 100_000})

    with Publisher(connection) as publisher:
        with pytest.raises(MalformedRecordError, match="text: String should have at most"):
            publisher.publish(unchecked)
        with pytest.raises(ValueError, match="text"):
            publisher.publish(image=URL)  # type: ignore[call-overload]  # the case
        with pytest.raises(ValueError, match=r"'/etc/hostname' is not a URL"):
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
