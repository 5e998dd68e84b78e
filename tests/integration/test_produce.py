"""Each record of a source is published once, and a later run goes on behind it."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kaption.connections.kafka.messages import Outgoing, Partition
from kaption.connections.kafka.transaction import BlockingTransactions
from kaption.connections.settings import KafkaConnection
from kaption.consumers.topic.reader import TopicReader
from kaption.producers.errors import PublishError
from kaption.producers.feed.feed import Fed, Feed, FeedOptions
from kaption.producers.sources import SourceError, open_source
from kaption.producers.sources.source import SOURCE_ERROR_HEADER, SOURCE_PLACE_HEADER
from kaption.schemas import WireError, header
from support.feeding import Numbers, once, published
from support.publishing import TOPIC

BROKERS = pytest.mark.parametrize(
    "connection",
    ["tansu", pytest.param("apache_kafka", marks=pytest.mark.integration)],
    indirect=True,
)


@BROKERS
def test_a_later_run_publishes_only_records_appended_since(
    connection: KafkaConnection, tmp_path: Path
) -> None:
    # Given a file that was published, a bad line included
    path = tmp_path / "pairs.jsonl"
    line = json.dumps({"image": "https://cdn.example/1.jpg", "text": "{}"}) + "\n"
    path.write_text(line.replace("{}", "0") + "oops\n")
    assert Feed(connection, open_source(str(path))).run() == Fed(0, 2, 1)
    # When it grows and is published again
    with path.open("a") as file:
        file.write(line.replace("{}", "1"))
    again = Feed(connection, open_source(str(path))).run()
    # Then only what is new was published
    assert again == Fed(2, 1, 0)
    assert published(connection) == Counter({"0": 1, "?": 1, "1": 1})


@BROKERS
def test_an_unreadable_line_arrives_as_it_was_with_its_place(
    connection: KafkaConnection, tmp_path: Path
) -> None:
    path = tmp_path / "crawl.jsonl"
    path.write_bytes(b"{oops}\n")

    Feed(connection, open_source(str(path))).run()

    with TopicReader(connection, [TOPIC]) as reader:
        (dead,) = reader
    assert isinstance(dead.record, WireError)
    assert header(dead.headers, SOURCE_PLACE_HEADER) == "crawl.jsonl:1"
    assert (header(dead.headers, SOURCE_ERROR_HEADER) or "").startswith("not JSON")


@BROKERS
def test_from_start_publishes_everything_again_and_counts_anew(
    connection: KafkaConnection,
) -> None:
    Feed(connection, Numbers(3)).run()

    again = Feed(connection, Numbers(3), FeedOptions(from_start=True)).run()
    more = Feed(connection, Numbers(4)).run()

    assert (again, more) == (Fed(0, 3), Fed(3, 1))
    assert published(connection) == Counter({"0": 2, "1": 2, "2": 2, "3": 1})


@BROKERS
def test_a_run_without_new_records_commits_its_place_again(
    connection: KafkaConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a source that is published; the broker will forget its place after a week
    Feed(connection, Numbers(3)).run()
    real = BlockingTransactions.commit
    committed: list[int] = []

    def commit(
        self: BlockingTransactions,
        messages: Sequence[Outgoing],
        offsets: Mapping[Partition, int],
        *rest: Any,
    ) -> Any:
        committed.extend(offsets.values())
        return real(self, messages, offsets, *rest)

    monkeypatch.setattr(BlockingTransactions, "commit", commit)
    # When it is run again
    fed = Feed(connection, Numbers(3)).run()
    # Then it has another week
    assert (fed, committed) == (Fed(3), [3])


@BROKERS
def test_each_commit_reports_progress_and_the_rate_is_kept(connection: KafkaConnection) -> None:
    told: list[Fed] = []
    began = time.monotonic()

    Feed(connection, Numbers(1_500), FeedOptions(rate=1_000)).run(told.append)

    # At least: a busy machine may take longer.
    assert time.monotonic() - began > 1.3
    assert told[0] == Fed(0)
    assert told[-1] == Fed(0, 1_500)
    assert len(told) >= 3
    assert told == sorted(told, key=lambda fed: fed.published)


@BROKERS
def test_each_source_has_a_place_of_its_own(connection: KafkaConnection) -> None:
    Feed(connection, Numbers(3)).run()

    assert Feed(connection, Numbers(3, name="others")).run() == Fed(0, 3)


@BROKERS
def test_after_a_source_failed_the_next_run_continues_behind_its_last_record(
    connection: KafkaConnection,
) -> None:
    def damaged(number: int) -> None:
        if number == 1_200:
            raise SourceError("damaged")

    with pytest.raises(SourceError, match="damaged"):
        Feed(connection, Numbers(2_000, damaged)).run()

    assert Feed(connection, Numbers(2_000)).run() == Fed(1_200, 800)
    assert published(connection) == once(2_000)


def test_without_a_topic_it_says_what_to_do(tansu: object, topic_prefix: str) -> None:
    bootstrap = tansu.bootstrap  # type: ignore[attr-defined]  # the fixture's own type
    connection = KafkaConnection(bootstrap=bootstrap, topic_prefix=topic_prefix)

    with pytest.raises(PublishError, match="kaption topics create"):
        Feed(connection, Numbers(1)).run()


def test_without_a_broker_it_says_where_it_looked() -> None:
    connection = KafkaConnection(bootstrap="127.0.0.1:1")

    with pytest.raises(PublishError, match=r"127\.0\.0\.1:1"):
        Feed(connection, Numbers(1), FeedOptions(transaction_s=1)).run()
