"""The topics of the contract on a broker: created, compared, changed, counted."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from kafka import KafkaProducer

from faults import Direction, FaultProxy
from kaption.connections.kafka.clients import client_config
from kaption.connections.kafka.topics import TopicAdmin, TopicError
from kaption.connections.settings import KafkaConnection
from kaption.producers.feed.feed import Feed
from kaption.producers.sources import open_source
from kaption.schemas import TOPICS
from kaption.schemas.topics import CLEAN, DEAD, RAW
from kaption.workers.local import Tansu
from kaption.workers.wiring import STAGES
from support.engine import until
from tools.servers import ApacheKafka

BROKERS = ["tansu", pytest.param("apache_kafka", marks=pytest.mark.integration)]


@pytest.fixture(params=BROKERS)
def connection(request: pytest.FixtureRequest, topic_prefix: str) -> KafkaConnection:
    server = request.getfixturevalue(request.param)
    return KafkaConnection(bootstrap=server.bootstrap, topic_prefix=topic_prefix)


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
    # A broker shows what it has been told a moment later
    assert until(lambda: not admin.check([RAW, DEAD]), 30)


@pytest.mark.integration
def test_apply_adds_partitions(kafka: KafkaConnection) -> None:
    with TopicAdmin(kafka) as admin:
        admin.create([replace(RAW, partitions=2)])

        admin.apply([RAW])

        assert until(lambda: len(admin.describe([RAW])[0].partitions) == RAW.partitions, 30)


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
    kafka: KafkaConnection,
) -> None:
    with TopicAdmin(kafka) as admin:
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
    with pytest.raises(TopicError):
        TopicAdmin(connection, timeout_s=3600)  # a person waits for seconds, not for an hour


def test_deleting_removes_topics_and_the_groups_of_stages_and_feeds(
    connection: KafkaConnection, admin: TopicAdmin, topic_prefix: str, tmp_path: Path
) -> None:
    # Given topics that a feed and another deployment use
    other = KafkaConnection(bootstrap=connection.bootstrap, topic_prefix=f"other-{topic_prefix}")
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"image": "https://a.example/a.jpg", "text": "a"}\n')
    admin.create(TOPICS)
    with TopicAdmin(other) as others:
        others.create([RAW])
        Feed(connection, open_source(str(pairs))).run()
        # When the topics are deleted, and once more
        deleted = admin.delete(TOPICS, (*STAGES, "produce-"))
        again = admin.delete(TOPICS, (*STAGES, "produce-"))
        # Then the topics are gone, and nothing of the other deployment
        names = [topic_prefix + topic.name for topic in TOPICS]
        assert [name for name in deleted if "produce-" not in name] == sorted(names)
        assert again == []
        assert others.check([RAW]) == []
        others.delete([RAW])
    # And a feed into new topics begins anew
    admin.create(TOPICS)
    fed = Feed(connection, open_source(str(pairs))).run()
    assert (fed.before, fed.published) == (0, 1)


@pytest.mark.integration
def test_a_connection_that_is_lost_before_the_answer_is_opened_again(
    apache_kafka: ApacheKafka, topic_prefix: str
) -> None:
    # Given a client whose broker is asked and loses the connection before it answers
    connection = KafkaConnection(bootstrap=apache_kafka.proxy_bootstrap, topic_prefix=topic_prefix)
    with (
        FaultProxy(apache_kafka.proxied_port, apache_kafka.proxy_port) as proxy,
        TopicAdmin(connection) as admin,
        ThreadPoolExecutor() as pool,
    ):
        admin.create([RAW])
        for read in (admin.check, admin.describe):
            proxy.freeze(Direction.ANSWERS)
            asked = pool.submit(read, [RAW])
            time.sleep(1.0)
            proxy.cut()
            proxy.restore()
            # Then it is asked again, and the caller learns nothing of it
            assert isinstance(asked.result(30), list)
