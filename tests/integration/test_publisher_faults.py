"""What cannot be delivered is reported whole, and publishing goes on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from kaption.connections.kafka.messages import Message
from kaption.connections.kafka.topics import TopicAdmin
from kaption.connections.settings import KafkaConnection
from kaption.producers.errors import BufferFullError, DeliveryError, PublishError
from kaption.producers.options import PublisherOptions
from kaption.producers.publisher import Publisher
from kaption.schemas import encode
from kaption.workers.local import Tansu
from support.parts import serving
from support.publishing import TOPIC, noisy, pair, published_pairs, with_topic
from tools.servers import ApacheKafka


@contextmanager
def silent(prefix: str, options: PublisherOptions) -> Iterator[tuple[Publisher, list[str]]]:
    """A publisher whose broker took pair-0 and then answers nothing until the block ends.

    After the block the list holds the ids of the pairs that the broker has.
    """
    with serving(Tansu()) as server:
        connection = with_topic(server.bootstrap, prefix)
        arrived: list[str] = []
        with Publisher(connection, options=options) as publisher:
            publisher.publish(pair(0))
            publisher.flush()
            server.freeze()
            yield publisher, arrived
            server.thaw()
        arrived += [each.pair_id for each in published_pairs(connection)]


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
    options = PublisherOptions(buffer_bytes=20_000, max_block_s=0.5, delivery_timeout_s=4)
    taken = 0
    with silent(topic_prefix, options) as (publisher, _):
        with pytest.raises(BufferFullError, match="bytes wait for"):  # noqa: PT012 - the loop fills
            while taken < 1000:
                publisher.publish(pair(taken))
                taken += 1
        with pytest.raises(DeliveryError) as failed:
            publisher.flush()

    assert 0 < taken < 40
    assert len(failed.value.failures) == taken


def test_without_patience_a_full_buffer_is_an_error_at_once(topic_prefix: str) -> None:
    accepted = ["pair-0"]
    options = PublisherOptions(buffer_bytes=2_000, max_block_s=0)
    with (  # noqa: PT012 - the loop fills the buffer
        silent(topic_prefix, options) as (publisher, arrived),
        pytest.raises(BufferFullError, match="none came for 0 s"),
    ):
        while len(accepted) < 100:
            accepted.append(publisher.publish(pair(len(accepted))))

    assert 1 < len(accepted) < 6
    assert sorted(arrived) == accepted


def test_a_buffer_full_of_failures_reports_them_to_the_next_publish(topic_prefix: str) -> None:
    options = PublisherOptions(buffer_bytes=5_000, max_block_s=30, delivery_timeout_s=2)
    with (  # noqa: PT012 - the loop fills the buffer
        silent(topic_prefix, options) as (publisher, _),
        pytest.raises(DeliveryError) as failed,
    ):
        for number in range(1000):
            publisher.publish(pair(number))

    assert failed.value.failures


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
        Publisher(connection, options=PublisherOptions(connect_timeout_s=5))


def test_a_silent_address_is_an_error_that_names_it() -> None:
    with pytest.raises(PublishError, match=r"no broker answers at 127\.0\.0\.1:9"):
        Publisher(
            KafkaConnection(bootstrap="127.0.0.1:9"), options=PublisherOptions(connect_timeout_s=1)
        )


def test_the_first_error_of_a_block_is_the_one_seen(topic_prefix: str) -> None:
    with (  # noqa: PT012 - what comes before the error is the case
        pytest.raises(KeyError) as seen,
        silent(topic_prefix, PublisherOptions(delivery_timeout_s=2)) as (publisher, _),
    ):
        publisher.publish(pair(1))
        raise KeyError("first")

    assert seen.value.args == ("first",)
    assert "1 records were not delivered: pair-1" in seen.value.__notes__[0]
