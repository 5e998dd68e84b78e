"""A spool keeps every accepted record, while the broker is away and when the crawler is killed."""

import subprocess
import sys
from pathlib import Path

import pytest

from kaption.connections.kafka.topics import TopicAdmin
from kaption.connections.settings import KafkaConnection
from kaption.producers import (
    BufferFullError,
    Publisher,
    PublisherOptions,
    StillSpooledError,
    TooLargeError,
)
from kaption.workers.local import Tansu
from support.parts import serving
from support.publishing import TOPIC, pair, published_pairs, with_topic
from tools.servers import ApacheKafka

NOWHERE = "127.0.0.1:9"
CRAWLER = """
import sys
from pathlib import Path
from kaption.producers import Publisher
from kaption.connections.settings import KafkaConnection

publisher = Publisher(
    KafkaConnection(bootstrap=sys.argv[1], topic_prefix=sys.argv[2]), spool=Path(sys.argv[3])
)
for number in range(100_000):
    accepted = publisher.publish(
        image="https://a.example/1.jpg", text="t", pair_id=f"{number:06d}", page_url="x" * 2000
    )
    print(accepted, flush=True)
"""


def killed_crawl(bootstrap: str, prefix: str, spool: Path, accepted: int) -> list[str]:
    """The pair_ids that a crawler printed as accepted before it was killed with -9."""
    crawler = subprocess.Popen(
        [sys.executable, "-c", CRAWLER, bootstrap, prefix, str(spool)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert crawler.stdout is not None
    told = [crawler.stdout.readline() for _ in range(accepted)]
    crawler.kill()
    told += crawler.stdout.readlines()
    crawler.wait()
    crawler.stdout.close()
    return [line.strip() for line in told if line.endswith("\n")]


def in_order(ids: list[str]) -> bool:
    """Whether the first copies are in order; records that were sent again may follow."""
    first = list(dict.fromkeys(ids))
    return first == sorted(first)


@pytest.mark.integration
def test_a_crawler_killed_with_the_broker_away_loses_nothing(
    tansu: Tansu, topic_prefix: str, tmp_path: Path
) -> None:
    connection = with_topic(tansu.bootstrap, topic_prefix)
    accepted = killed_crawl(NOWHERE, topic_prefix, tmp_path, 300)
    assert len(accepted) >= 300

    with Publisher(connection, spool=tmp_path) as publisher:
        publisher.publish(pair(1))

    found = [each.pair_id for each in published_pairs(connection)]
    # The crawler may have been killed after a record was on the disk, before it printed the id.
    extra = set(found) - {*accepted, "pair-1"}
    assert set(accepted) <= set(found)
    assert len(extra) <= 1
    assert len(found) == len(set(found))


@pytest.mark.integration
@pytest.mark.parametrize("kills", [3])
def test_a_crawler_killed_while_it_delivers_loses_nothing(
    apache_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path, kills: int
) -> None:
    connection = with_topic(apache_kafka.bootstrap, topic_prefix)
    accepted: set[str] = set()
    for number in range(kills):
        accepted |= set(
            killed_crawl(connection.bootstrap, topic_prefix, tmp_path, 200 + 300 * number)
        )

    Publisher(connection, spool=tmp_path).close()

    found = {each.pair_id for each in published_pairs(connection)}
    assert accepted <= found
    assert len(found - accepted) <= kills


def test_a_broker_that_is_silent_for_a_while_is_waited_for(
    topic_prefix: str, tmp_path: Path
) -> None:
    with serving(Tansu()) as server:
        connection = with_topic(server.bootstrap, topic_prefix)
        with Publisher(connection, spool=tmp_path) as publisher:
            publisher.publish(pair(0))
            publisher.flush()
            server.freeze()
            for number in range(1, 50):
                publisher.publish(pair(number))
            server.thaw()

        ids = {each.pair_id for each in published_pairs(connection)}
        assert ids == {f"pair-{number}" for number in range(50)}


@pytest.mark.integration
def test_versions_of_one_pair_keep_their_order_when_the_broker_is_killed(
    own_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path
) -> None:
    connection = with_topic(own_kafka.bootstrap, topic_prefix)

    with Publisher(
        connection, spool=tmp_path, options=PublisherOptions(delivery_timeout_s=60)
    ) as publisher:
        for version in range(600):
            publisher.publish(pair(7, text=f"{version:03d}"))
            if version == 200:
                own_kafka.kill9()
            if version == 400:
                own_kafka.start()

    texts = [each.text for each in published_pairs(connection)]
    assert in_order(texts)
    assert len(set(texts)) == 600
    assert texts[-1] == "599"


def test_it_opens_accepts_and_closes_without_a_broker(tmp_path: Path) -> None:
    publisher = Publisher(
        KafkaConnection(bootstrap=NOWHERE),
        spool=tmp_path,
        options=PublisherOptions(
            spool_bytes=20_000,
            max_block_s=0,
            connect_timeout_s=0.3,
            delivery_timeout_s=1,
            close_timeout_s=2,
        ),
    )
    with pytest.raises(BufferFullError, match="raise spool_bytes"):  # noqa: PT012 - the loop fills
        for number in range(1000):
            publisher.publish(pair(number))

    with pytest.raises(StillSpooledError, match=r"no broker answers.*by the next Publisher"):
        publisher.close()


@pytest.mark.integration
def test_a_spool_says_that_the_topic_is_missing_while_it_waits_for_it(
    kafka: KafkaConnection, tmp_path: Path
) -> None:
    options = PublisherOptions(close_timeout_s=5)

    with (
        pytest.raises(StillSpooledError, match=r"pairs\.raw .* not found yet: .*topics create"),
        Publisher(kafka, spool=tmp_path, options=options) as publisher,
    ):
        publisher.publish(pair(1))
    with TopicAdmin(kafka) as admin:
        admin.create([TOPIC])
    with Publisher(kafka, spool=tmp_path) as publisher:
        publisher.publish(pair(2))

    assert sorted(each.pair_id for each in published_pairs(kafka)) == ["pair-1", "pair-2"]


def test_a_spool_says_that_no_broker_answers_while_it_looks_for_one(tmp_path: Path) -> None:
    options = PublisherOptions(close_timeout_s=3)

    with (
        pytest.raises(StillSpooledError, match=r"3 s \(no broker answers at 127\.0\.0\.1:9"),
        Publisher(KafkaConnection(bootstrap=NOWHERE), spool=tmp_path, options=options) as publisher,
    ):
        publisher.publish(pair(1))


def test_what_no_broker_would_take_is_refused_before_it_is_accepted(tmp_path: Path) -> None:
    with (
        Publisher(KafkaConnection(bootstrap=NOWHERE), spool=tmp_path) as publisher,
        pytest.raises(TooLargeError, match="too many for"),
    ):
        publisher.publish_bytes(bytes(TOPIC.max_message_bytes))
