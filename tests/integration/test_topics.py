"""The topics of the contract on a broker: created, compared, changed, counted."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from kafka import KafkaProducer

from kaption.connections.kafka.clients import client_config
from kaption.connections.kafka.topics import TopicAdmin, TopicError
from kaption.connections.settings import KafkaConnection
from kaption.schemas import TOPICS
from kaption.schemas.topics import CLEAN, DEAD, RAW
from kaption.workers.local import Tansu
from tools.servers import ApacheKafka

BROKERS = ["tansu", pytest.param("apache_kafka", marks=pytest.mark.integration)]


@pytest.fixture(params=BROKERS)
def connection(request: pytest.FixtureRequest, topic_prefix: str) -> KafkaConnection:
    server = request.getfixturevalue(request.param)
    return KafkaConnection(bootstrap=server.bootstrap, topic_prefix=topic_prefix)


@pytest.fixture
def kafka_connection(apache_kafka: ApacheKafka, topic_prefix: str) -> KafkaConnection:
    return KafkaConnection(bootstrap=apache_kafka.bootstrap, topic_prefix=topic_prefix)


@pytest.fixture
def admin(connection: KafkaConnection) -> Iterator[TopicAdmin]:
    with TopicAdmin(connection) as admin:
        yield admin


def test_created_topics_are_as_the_contract_says(admin: TopicAdmin, topic_prefix: str) -> None:
    created = admin.create(TOPICS)

    assert created == [topic_prefix + topic.name for topic in TOPICS]
    assert admin.check(TOPICS) == []
    state = {state.topic: state for state in admin.describe(TOPICS)}
    assert len(state[topic_prefix + "pairs.raw"].partitions) == RAW.partitions
    clean = state[topic_prefix + "pairs.clean"].config
    assert clean["cleanup.policy"] == "compact"
    assert clean["max.compaction.lag.ms"] == str(7 * 24 * 3600 * 1000)


def test_creating_again_leaves_existing_topics_as_they_are(
    admin: TopicAdmin, topic_prefix: str
) -> None:
    admin.create([replace(RAW, partitions=2, retention_ms=1000)])

    created = admin.create([RAW, DEAD])

    assert created == [topic_prefix + "pairs.dead"]
    assert {each.setting for each in admin.check([RAW, DEAD])} == {"partitions", "retention.ms"}


def test_a_missing_topic_is_one_difference_with_its_remedy(admin: TopicAdmin) -> None:
    admin.create([RAW])

    (difference,) = admin.check([RAW, CLEAN])

    assert difference.topic.endswith("pairs.clean")
    assert (difference.setting, difference.found) == ("exists", "no")
    assert "kaption topics create" in str(difference)


def test_more_partitions_than_wanted_are_no_difference(admin: TopicAdmin) -> None:
    admin.create([replace(RAW, partitions=RAW.partitions + 1)])

    assert admin.check([RAW]) == []


def test_apply_changes_settings_and_creates_missing_topics(admin: TopicAdmin) -> None:
    admin.create([replace(RAW, retention_ms=1000, max_message_bytes=1000)])

    mended = admin.apply([RAW, DEAD])

    assert [each.setting for each in mended] == ["retention.ms", "max.message.bytes", "exists"]
    assert admin.check([RAW, DEAD]) == []


@pytest.mark.integration
def test_apply_adds_partitions(kafka_connection: KafkaConnection) -> None:
    with TopicAdmin(kafka_connection) as admin:
        admin.create([replace(RAW, partitions=2)])

        admin.apply([RAW])

        assert len(admin.describe([RAW])[0].partitions) == RAW.partitions


def test_a_broker_that_cannot_add_partitions_is_named_as_the_fault(
    tansu: Tansu, topic_prefix: str
) -> None:
    connection = KafkaConnection(bootstrap=tansu.bootstrap, topic_prefix=topic_prefix)
    with TopicAdmin(connection) as admin:
        admin.create([replace(RAW, partitions=2)])

        with pytest.raises(TopicError, match="delete these topics and create them again"):
            admin.apply([RAW])


@pytest.mark.integration
def test_a_refused_setting_is_reported_with_the_brokers_reason(
    kafka_connection: KafkaConnection,
) -> None:
    with TopicAdmin(kafka_connection) as admin:
        with pytest.raises(TopicError, match=r"pairs\.raw: .*sometimes"):
            admin.create([replace(RAW, cleanup_policy="sometimes")])
        admin.create([RAW])
        with pytest.raises(TopicError, match=r"pairs\.raw: .*sometimes"):
            admin.apply([replace(RAW, cleanup_policy="sometimes")])


def test_describe_counts_offsets(connection: KafkaConnection, admin: TopicAdmin) -> None:
    admin.create([replace(RAW, partitions=2)])
    producer = KafkaProducer(**client_config(connection))
    for partition in (0, 1, 1):
        name = connection.topic_prefix + RAW.name
        producer.send(name, b"value", partition=partition).get(timeout=30)
    producer.close()

    (state,) = admin.describe([RAW])

    assert [(each.begin, each.end) for each in state.partitions] == [(0, 1), (0, 2)]
    assert state.records == 3


def test_a_missing_topic_has_no_partitions(admin: TopicAdmin) -> None:
    (state,) = admin.describe([RAW])

    assert (state.partitions, state.records) == ((), 0)


def test_a_silent_address_is_an_error_that_names_it() -> None:
    connection = KafkaConnection(bootstrap="127.0.0.1:9")

    with pytest.raises(TopicError, match=r"no Kafka broker answers at 127\.0\.0\.1:9"):
        TopicAdmin(connection, timeout_s=1)
