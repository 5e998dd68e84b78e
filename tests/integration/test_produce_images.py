"""Images too large for a message are stored where there is a store, and named."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.consumers.topic.reader import TopicReader
from kaption.objectstore import BlobStore, open_store
from kaption.producers.errors import PublishError
from kaption.producers.feed.feed import Fed, Feed, FeedOptions
from kaption.producers.sources import Unreadable, open_source
from kaption.schemas import RawPair
from kaption.schemas.limits import RAW_BYTES
from kaption.workers.batch.feeder import Feeder
from kaption.workers.batch.journal import Journal
from kaption.workers.batch.tally import Tally
from kaption.workers.cli.app import app
from kaption.workers.settings import Settings
from support.feeding import once, published
from support.publishing import TOPIC
from support.source_inputs import write_tar
from support.topics import environment

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
    items = open_source(str(large_file(tmp_path))).read()
    store = StoreConnection(url=str(tmp_path / "store"))
    settings = Settings(kafka=connection, store=store)

    with Journal(tmp_path / "out", {}) as journal:
        feeder = Feeder(settings, items, journal, Tally(), print)
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
        Feed(connection, source, FeedOptions(store=StoreConnection(url=__file__))).run()
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
