"""Each record of a source is published once, after interruptions and lost commits as well."""

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from kafka import KafkaProducer
from kafka.errors import KafkaError
from pyarrow import parquet
from typer.testing import CliRunner

from kaption.connections.kafka.messages import Message, Outgoing, Partition
from kaption.connections.kafka.topics import TopicAdmin
from kaption.connections.kafka.transaction import BlockingTransactions, TransactionThread
from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.consumers.topic.reader import TopicReader
from kaption.objectstore import BlobStore, open_store
from kaption.producers.errors import PublishError
from kaption.producers.feed.feed import Fed, Feed, FeedOptions
from kaption.producers.sources import Found, Source, SourceError, Unreadable, open_source
from kaption.producers.sources.source import RAW_BYTES, SOURCE_ERROR_HEADER, SOURCE_PLACE_HEADER
from kaption.schemas import ImageSource, RawPair, WireError, header
from kaption.schemas.topics import RAW
from kaption.workers.batch.feeder import Feeder
from kaption.workers.cli.app import app
from support.source_inputs import write_tar
from tools.servers import ApacheKafka

TOPIC = replace(RAW, partitions=3)
KAFKA = [pytest.param("apache_kafka", marks=pytest.mark.integration)]


@pytest.fixture
def connection(request: pytest.FixtureRequest, topic_prefix: str) -> KafkaConnection:
    """Give topics of the test's own; on Tansu, unless parametrized."""
    server = request.getfixturevalue(getattr(request, "param", "tansu"))
    connection = KafkaConnection(bootstrap=server.bootstrap, topic_prefix=topic_prefix)
    with TopicAdmin(connection) as admin:
        admin.create([TOPIC])
    return connection


def published(connection: KafkaConnection) -> Counter[str]:
    """How often each text is there; what is no pair counts as "?"."""
    with TopicReader(connection, [TOPIC]) as reader:
        records = [read.record for read in reader]
    return Counter(
        each.text if isinstance(each, RawPair) else "?"
        for each in records
        if isinstance(each, (RawPair, WireError))
    )


def once(count: int) -> Counter[str]:
    return Counter({str(number): 1 for number in range(count)})


class Numbers(Source):
    """Pairs 0 to `count`; calls `at` with each number before it comes."""

    def __init__(
        self, count: int, at: Callable[[int], None] = lambda number: None, name: str = "numbers"
    ) -> None:
        self._count = count
        self._at = at
        self._name = name

    @classmethod
    def recognises(cls, location: str) -> bool:
        return False

    @property
    def identity(self) -> str:
        return self._name

    def read(self, after: str | None = None) -> Iterator[Found]:
        for number in range(int(after or 0), self._count):
            self._at(number)
            image = ImageSource(url=f"https://cdn.example/{number}.jpg")
            pair = RawPair(pair_id=str(number), text=str(number), image=image)
            yield Found(pair, str(number + 1))


BROKERS = pytest.mark.parametrize("connection", ["tansu", *KAFKA], indirect=True)


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


@pytest.mark.parametrize("connection", KAFKA, indirect=True)
@pytest.mark.parametrize("arrives", [True, False], ids=["committed", "lost"])
def test_after_a_commit_without_an_answer_each_record_is_there_once(
    connection: KafkaConnection, arrives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a commit whose answer does not come, whether it arrives or not
    real = KafkaProducer.commit_transaction
    commits = 0

    def commit(producer: KafkaProducer) -> None:
        nonlocal commits
        commits += 1
        if commits != 2 or arrives:
            real(producer)
        if commits == 2:
            raise KafkaError("no answer")

    monkeypatch.setattr(KafkaProducer, "commit_transaction", commit)
    # When a source is published in three transactions
    fed = Feed(connection, Numbers(2_500)).run()
    # Then each record is there once
    assert fed == Fed(0, 2_500)
    assert published(connection) == once(2_500)


@pytest.mark.parametrize("connection", KAFKA, indirect=True)
def test_a_refused_record_aborts_its_transaction_and_the_next_try_publishes_all(
    connection: KafkaConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a first try in which a message is too large for any broker
    real = TransactionThread._commit
    tries = 0

    def commit(self: TransactionThread, messages: Sequence[Outgoing], *rest: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            messages = [*messages, Outgoing(messages[0].topic, Message(b"x" * 20_000_000))]
        return real(self, messages, *rest)

    monkeypatch.setattr(TransactionThread, "_commit", commit)
    # When the source is published
    fed = Feed(connection, Numbers(10)).run()
    # Then the second try has published all, and nothing of the first is seen
    assert fed == Fed(0, 10)
    assert tries == 2
    assert published(connection) == once(10)


@pytest.mark.parametrize("connection", KAFKA, indirect=True)
def test_a_run_that_another_one_overtakes_ends_with_an_error(connection: KafkaConnection) -> None:
    # Given a run that pauses in the middle, while another one publishes the rest
    def overtaken(number: int) -> None:
        if number == 1_500:
            assert Feed(connection, Numbers(3_000)).run() == Fed(1_000, 2_000)

    # When it goes on
    with pytest.raises(PublishError, match="another run over the same source"):
        Feed(connection, Numbers(3_000, overtaken)).run()
    # Then what it had not committed is not seen, and nothing is there twice
    assert published(connection) == once(3_000)
    assert Feed(connection, Numbers(3_000)).run() == Fed(3_000)


@pytest.mark.parametrize("connection", KAFKA, indirect=True)
def test_a_broker_that_takes_no_transaction_is_given_up_with_advice(
    connection: KafkaConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(producer: KafkaProducer) -> None:
        raise KafkaError("refused")

    monkeypatch.setattr(KafkaProducer, "commit_transaction", refuse)

    with pytest.raises(PublishError, match=r"refused.*goes on where it stopped"):
        Feed(connection, Numbers(3), FeedOptions(recover_s=0)).run()

    assert published(connection) == Counter()


@pytest.mark.integration
def test_a_transaction_that_hangs_is_left_behind(
    own_kafka: ApacheKafka, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a broker that freezes inside a commit and wakes up later
    connection = KafkaConnection(bootstrap=own_kafka.bootstrap, topic_prefix=topic_prefix)
    with TopicAdmin(connection) as admin:
        admin.create([TOPIC])
    real = KafkaProducer.commit_transaction
    frozen: list[bool] = []

    def commit(producer: KafkaProducer) -> None:
        if not frozen:
            frozen.append(True)
            own_kafka.freeze()
        real(producer)

    monkeypatch.setattr(KafkaProducer, "commit_transaction", commit)
    monkeypatch.setattr("kaption.producers.feed.feed._PAUSE_S", 0.2)
    feed = Feed(connection, Numbers(10), FeedOptions(transaction_s=3))
    real_abandon = TransactionThread.abandon

    def abandon(self: TransactionThread) -> None:
        own_kafka.thaw()
        real_abandon(self)

    monkeypatch.setattr(TransactionThread, "abandon", abandon)
    # When the source is published
    assert feed.run() == Fed(0, 10)
    # Then each record is there once, whatever became of the first commit
    assert published(connection) == once(10)


LARGE = b"\xff\xd8" + bytes(RAW_BYTES)


def large_beside(folder: Path) -> Path:
    (folder / "large.jpg").write_bytes(LARGE)
    (folder / "pairs.jsonl").write_text('{"image": "large.jpg", "text": "0"}\n')
    return folder / "pairs.jsonl"


def large_file(folder: Path) -> Path:
    (folder / "pictures").mkdir()
    (folder / "pictures" / "a.jpg").write_bytes(LARGE)
    (folder / "pictures" / "a.txt").write_text("0")
    return folder / "pictures"


def large_member(folder: Path) -> Path:
    write_tar(folder / "pairs.tar", [("a.jpg", LARGE), ("a.txt", b"0")])
    return folder / "pairs.tar"


def large_value(folder: Path) -> Path:
    parquet.write_table(pa.table({"jpg": [LARGE], "text": ["0"]}), folder / "pairs.parquet")
    return folder / "pairs.parquet"


@pytest.mark.parametrize("make", [large_beside, large_file, large_member, large_value])
def test_a_large_image_is_stored_and_named(
    connection: KafkaConnection, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    # Given an image too large for a message
    source = open_source(str(make(tmp_path)))
    store = StoreConnection(url=str(tmp_path / "store"))
    # When it is published where there is a store
    assert Feed(connection, source, FeedOptions(store=store)).run() == Fed(0, 1, 0)
    # Then the record names it, and it is there
    assert stored_image(connection, store) == LARGE


def stored_image(connection: KafkaConnection, store: StoreConnection) -> bytes:
    """Of the only record, which names it."""
    with TopicReader(connection, [TOPIC]) as reader:
        (read,) = reader
    assert isinstance(read.record, RawPair)
    assert read.record.image.blob is not None
    return BlobStore(open_store(store)).get(read.record.image.blob)


def test_a_run_of_the_whole_pipeline_stores_large_images_too(
    connection: KafkaConnection, tmp_path: Path
) -> None:
    items = (found.item for found in open_source(str(large_file(tmp_path))).read())
    store = StoreConnection(url=str(tmp_path / "store"))

    feeder = Feeder(connection, store, items, print)
    feeder.run()

    assert (feeder.error, feeder.published, feeder.unreadable) == (None, 1, 0)
    assert stored_image(connection, store) == LARGE


def test_without_a_store_a_large_image_is_a_dead_letter_that_says_what_to_set(
    connection: KafkaConnection, tmp_path: Path
) -> None:
    said: list[Unreadable] = []

    fed = Feed(connection, open_source(str(large_file(tmp_path)))).run(on_unreadable=said.append)

    assert fed == Fed(0, 1, 1)
    assert [each.place for each in said] == ["a.jpg"]
    assert "set store.url" in said[0].error
    assert published(connection) == Counter({"?": 1})


def test_a_pair_whose_image_could_not_be_stored_is_published_by_the_next_run(
    connection: KafkaConnection, tmp_path: Path
) -> None:
    # Given a run that finds no store
    source = open_source(str(large_file(tmp_path)))
    with pytest.raises(PublishError, match="its record was not sent"):
        Feed(connection, source, FeedOptions(store=StoreConnection(url="ftp://a.example"))).run()
    assert published(connection) == Counter()
    # When the next one does
    fed = Feed(
        connection, source, FeedOptions(store=StoreConnection(url=str(tmp_path / "store")))
    ).run()
    # Then it publishes the pair
    assert fed == Fed(0, 1, 0)
    assert published(connection) == once(1)


@pytest.mark.parametrize("told", [True, False])
def test_the_command_stores_images_only_in_a_store_that_is_set(
    connection: KafkaConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    source = large_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name, value in environment(connection).items():
        monkeypatch.setenv(name, value)
    if told:
        monkeypatch.setenv("KAPTION_STORE__URL", str(tmp_path / "store"))

    done = CliRunner().invoke(app, ["produce", str(source)])

    dead = 0 if told else 1
    assert f"1 records published, {dead} of them unreadable" in done.stdout, done.output
    assert ("set store.url" in done.stderr.replace("\n", " ")) is not told
    made = {each.name for each in tmp_path.iterdir()} - {"pictures"}
    assert made == ({"store"} if told else set())


def test_the_command_continues_where_it_stopped(
    connection: KafkaConnection, tmp_path: Path
) -> None:
    # Given a table with names of its own
    source = tmp_path / "pairs.csv"
    source.write_text("photo,text\nhttps://cdn.example/1.jpg,0\nonly one field\n")
    arguments = ("produce", str(source), "-o", "image_column=photo", "--rate", "100")
    # When it is published, grows, and is published again, and again
    first = kaption(connection, *arguments)
    with source.open("a") as file:
        file.write("https://cdn.example/2.jpg,1\n")
    second = kaption(connection, *arguments)
    third = kaption(connection, *arguments)
    # Then each run says what it did
    assert "2 records published, 1 of them unreadable" in first.stdout, first.stderr
    assert "pairs.csv:row 2: the row has 1 fields" in first.stderr
    assert "2 records were published before" in second.stderr
    assert "1 records published, 0 of them unreadable" in second.stdout
    assert "nothing is new" in third.stderr
    assert published(connection) == Counter({"0": 1, "?": 1, "1": 1})


def test_the_command_writes_its_progress_to_a_log_too(
    connection: KafkaConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "pairs.csv"
    rows = (f"https://cdn.example/{number}.jpg,a\n" for number in range(3_000))
    source.write_text("url,text\n" + "".join(rows))
    monkeypatch.setattr("kaption.workers.cli.common._LINE_S", 0)
    for name, value in environment(connection).items():
        monkeypatch.setenv(name, value)

    done = CliRunner().invoke(app, ["produce", str(source)])

    lines = re.findall(r"^([0-9]+) records published, [0-9]+/s$", done.stderr, re.MULTILINE)
    assert lines == ["0", "1000", "2000", "3000"], done.output
    assert "3000 records published, 0 of them unreadable" in done.stdout


def test_the_command_says_what_is_wrong_in_a_line(
    connection: KafkaConnection, tmp_path: Path
) -> None:
    source = tmp_path / "pairs.csv"
    source.write_text("photo,text\nhttps://cdn.example/1.jpg,0\n")

    for arguments, said in (
        ((str(source),), "image_column"),
        (("none.jsonl",), "there is no file none.jsonl"),
        ((str(source), "-o", "color"), "write NAME=VALUE"),
    ):
        ended = kaption(connection, "produce", *arguments)
        assert ended.returncode == 1
        assert said in ended.stderr
        assert "Traceback" not in ended.stderr


def environment(connection: KafkaConnection) -> dict[str, str]:
    return {
        "KAPTION_KAFKA__BOOTSTRAP": connection.bootstrap,
        "KAPTION_KAFKA__TOPIC_PREFIX": connection.topic_prefix,
    }


def kaption(connection: KafkaConnection, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("kaption"), *arguments],
        env=os.environ | environment(connection),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_without_a_topic_it_says_what_to_do(tansu: object, topic_prefix: str) -> None:
    bootstrap = tansu.bootstrap  # type: ignore[attr-defined]  # the fixture's own type
    connection = KafkaConnection(bootstrap=bootstrap, topic_prefix=topic_prefix)

    with pytest.raises(PublishError, match="kaption topics create"):
        Feed(connection, Numbers(1)).run()


def test_without_a_broker_it_says_where_it_looked() -> None:
    connection = KafkaConnection(bootstrap="127.0.0.1:1")

    with pytest.raises(PublishError, match=r"127\.0\.0\.1:1"):
        Feed(connection, Numbers(1), FeedOptions(transaction_s=1)).run()
