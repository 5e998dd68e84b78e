"""Readers and feeds of topics that were deleted and created again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest

from kaption.connections.settings import KafkaConnection
from kaption.consumers import ReadError, TopicOptions, TopicReader, TopicStream
from kaption.objectstore.folder import FolderStore
from kaption.producers.errors import PublishError
from kaption.producers.feed.feed import Fed, Feed, FeedOptions
from kaption.producers.sources import open_source
from kaption.schemas import (
    DeadLetter,
    Position,
    RawPair,
    encode,
    header,
)
from kaption.schemas.topics import CLEAN, DEAD, RAW
from kaption.schemas.wire import ORIGIN_HEADER
from kaption.testing.records import raw_pair
from kaption.workers.replay import Replayed, Selection
from support.recreated import clean, create, recreate, send
from support.stream_records import pair_ids

pytestmark = pytest.mark.integration


@pytest.fixture
def objects(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.mark.parametrize("given", [0, 1, 10])
def test_a_stream_is_not_resumed_in_a_topic_that_was_created_again(
    kafka: KafkaConnection, objects: FolderStore, given: int
) -> None:
    # Given the state of a stream after some samples
    create(kafka, CLEAN)
    send(kafka, CLEAN, clean(objects, range(20)))
    stream = TopicStream(kafka, objects)
    samples = iter(stream)
    first = pair_ids(islice(samples, given)) if given else []
    if not given:
        next(samples)
    state = json.loads(json.dumps(stream.state_dict()))
    # When it is resumed in the same topic, then it gives the rest
    stream.load_state_dict(state)
    assert len(first) + len(list(stream)) == 20 - (not given)
    # When it is resumed in another topic of the name, then it says so
    recreate(kafka, CLEAN)
    send(kafka, CLEAN, clean(objects, range(100, 140)))
    stream.load_state_dict(state)
    with pytest.raises(ReadError, match=r"pairs\.clean was deleted and created again"):
        list(stream)
    # And a state of an older version, without an id, is read as before
    stream.load_state_dict({key: value for key, value in state.items() if key != "topic_id"})
    assert len(list(stream)) > 0


def test_a_stream_that_follows_notices_a_topic_that_is_created_again(
    kafka: KafkaConnection, objects: FolderStore
) -> None:
    create(kafka, CLEAN)
    send(kafka, CLEAN, clean(objects, range(6)))
    samples = iter(TopicStream(kafka, objects, options=TopicOptions(follow=True)))
    assert len(list(islice(samples, 6))) == 6
    recreate(kafka, CLEAN)
    send(kafka, CLEAN, clean(objects, range(100, 130)))
    with pytest.raises(ReadError, match="deleted and created again"):
        next(samples)


def test_a_saved_position_is_a_place_in_its_own_topic_only(kafka: KafkaConnection) -> None:
    create(kafka, RAW)
    send(kafka, RAW, [raw_pair(number) for number in range(9)])
    with TopicReader(kafka, [RAW]) as reader:
        saved = Position.parse(str([read.position for read in reader][-1]))
    with TopicReader(kafka, [RAW], start=[saved]) as reader:
        assert len(list(reader)) == 7
    recreate(kafka, RAW)
    send(kafka, RAW, [raw_pair(number) for number in range(9)])
    with (
        TopicReader(kafka, [RAW], start=[saved]) as reader,
        pytest.raises(ReadError, match="deleted and created again"),
    ):
        list(reader)


def test_a_source_is_published_again_to_a_topic_that_was_created_again(
    kafka: KafkaConnection, tmp_path: Path
) -> None:
    # Given a source that was published, and whose topic was then created again
    create(kafka, RAW)
    source = tmp_path / "pairs.jsonl"
    source.write_text("".join(f"{raw_pair(n).model_dump_json()}\n" for n in range(7)))
    assert Feed(kafka, open_source(str(source))).run().published == 7
    recreate(kafka, RAW)
    # When it is published again, then nothing counts as published before
    fed = Feed(kafka, open_source(str(source))).run()
    assert (fed.before, fed.published) == (0, 7)


@pytest.mark.parametrize("lines", [1500, 5000])
def test_a_feed_notices_a_topic_that_is_created_again_under_it(
    kafka: KafkaConnection, tmp_path: Path, lines: int
) -> None:
    # Given a source of several transactions
    create(kafka, RAW)
    source = tmp_path / "pairs.jsonl"
    source.write_text("".join(f"{raw_pair(n).model_dump_json()}\n" for n in range(lines)))

    def after(fed: Fed) -> None:
        if fed.published == 1000:
            recreate(kafka, RAW)

    # When the topic is created again after the first one
    with pytest.raises(PublishError, match="deleted and created again") as told:
        Feed(kafka, open_source(str(source))).run(on_commit=after)
    # Then the error says how to publish what is gone, and that publishes all
    assert "--from-start" in str(told.value)
    Feed(kafka, open_source(str(source)), FeedOptions(from_start=True)).run()
    with TopicReader(kafka, [RAW]) as reader:
        found = {read.record.pair_id for read in reader if isinstance(read.record, RawPair)}
    assert found == {raw_pair(n).pair_id for n in range(lines)}


def test_a_replay_gives_the_dead_letters_of_a_topic_that_was_created_again(
    kafka: KafkaConnection,
) -> None:
    # Given dead letters that were replayed, and as many new ones in a new topic of the name
    create(kafka, RAW, DEAD)

    def replayed(text: str) -> int:
        letters = [
            DeadLetter(
                topic=kafka.topic_prefix + RAW.name,
                partition=0,
                offset=number,
                topic_id="a" * 22,
                timestamp_ms=0,
                key=None,
                value=encode(raw_pair(number, text=text)),
                stage="ingest",
                error="a bug",
                attempts=1,
                died_at=datetime.now(UTC),
            )
            for number in range(6)
        ]
        send(kafka, DEAD, letters)
        return replay()

    def replay() -> int:
        return (
            Feed(kafka, Replayed(RAW.name, kafka=kafka, selection=Selection(DEAD))).run().published
        )

    assert replayed("first") == 6
    assert replay() == 0
    recreate(kafka, DEAD)
    # When they are replayed, then none counts as replayed before
    assert replayed("second") == 6
    assert replay() == 0
    with TopicReader(kafka, [RAW]) as reader:
        origins = {header(read.headers, ORIGIN_HEADER) for read in reader}
    assert origins == {f"{kafka.topic_prefix}pairs.raw/0/{n}/{'a' * 22}" for n in range(6)}
