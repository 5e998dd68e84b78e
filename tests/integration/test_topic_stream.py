"""Samples from pairs.clean: each committed pair once, by any readers, also after resuming."""

import json
import multiprocessing
import pickle
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from kafka import KafkaProducer
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from kaption.connections.kafka.clients import client_config
from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.consumers import TopicOptions, TopicStream
from kaption.objectstore.blobs import BlobStore, blob_key
from kaption.objectstore.folder import FolderStore
from kaption.schemas import CleanPair, TakedownKind, encode, headers_of
from kaption.schemas.topics import CLEAN
from support.sink_records import image_bytes, stored
from support.stream_records import pair_ids, take_down
from support.topics import with_topics
from tools.servers import ApacheKafka

BROKERS = ["tansu", pytest.param("apache_kafka", marks=pytest.mark.integration)]
TOPIC = replace(CLEAN, partitions=4)


@pytest.fixture
def objects(tmp_path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture(params=BROKERS)
def connection(request: pytest.FixtureRequest, topic_prefix: str) -> KafkaConnection:
    return with_topics(request.getfixturevalue(request.param).bootstrap, topic_prefix, [TOPIC])


@pytest.fixture
def producer(connection: KafkaConnection) -> Iterator[KafkaProducer]:
    producer = KafkaProducer(**client_config(connection))
    yield producer
    producer.close()


class Topic:
    """Sends pairs to partitions, and remembers what a reader should get."""

    def __init__(self, connection: KafkaConnection, objects: FolderStore, producer: KafkaProducer):
        self._name = connection.topic_prefix + TOPIC.name
        self._blobs = BlobStore(objects)
        self._producer = producer
        self.sent: list[str] = []

    def send(self, numbers: range, **changed: Any) -> list[CleanPair]:
        """Send pairs to the partitions in turn."""
        pairs = [stored(self._blobs, number, **changed).record for number in numbers]
        for number, pair in zip(numbers, pairs, strict=True):
            self._send(number % 4, pair.pair_id, encode(pair), headers_of(pair))
            self.sent.append(pair.pair_id)
        self._producer.flush()
        return pairs

    def withdraw(self, partition: int, pair_id: str) -> None:
        self._send(partition, pair_id, None, [])
        self._producer.flush()

    def _send(self, partition: int, key: str, value: bytes | None, headers) -> None:
        self._producer.send(
            self._name, value, key=key.encode(), headers=headers, partition=partition
        )


@pytest.fixture
def topic(connection, objects, producer) -> Topic:
    return Topic(connection, objects, producer)


def resumed(connection, objects, state, **options) -> TopicStream:
    stream = TopicStream(connection, objects, options=TopicOptions(**options))
    stream.load_state_dict(json.loads(json.dumps(state)))
    return stream


def by_partition(names) -> dict[int, list[str]]:
    """Sort pairs by partition, in their order: partitions alternate at random."""
    found: dict[int, list[str]] = {number: [] for number in range(4)}
    for name in names:
        found[int(name.removeprefix("pair-")) % 4].append(name)
    return found


def test_each_pair_is_given_once_with_its_image(connection, objects, topic):
    topic.send(range(50))
    samples = list(TopicStream(connection, objects))
    assert by_partition(pair_ids(samples)) == by_partition(topic.sent)
    for sample in samples:
        number = int(sample.pair.pair_id.removeprefix("pair-"))
        assert sample.image == image_bytes(number)


def test_an_empty_topic_ends_at_once(connection, objects):
    assert list(TopicStream(connection, objects)) == []


def test_ranks_and_workers_split_the_partitions(connection, topic, tmp_path):
    # Given more readers than partitions
    topic.send(range(40))
    store, found = StoreConnection(url=str(tmp_path / "store")), list[str]()

    # When
    for rank in range(3):
        stream = TopicStream(connection, store, options=TopicOptions(rank=rank, world_size=3))
        found += [
            name
            for batch in DataLoader(stream, 4, num_workers=2, collate_fn=pair_ids)
            for name in batch
        ]

    # Then
    assert Counter(found) == Counter(topic.sent)


@pytest.mark.parametrize("given", [0, 1, 13, 39, 40])
def test_a_resumed_stream_gives_exactly_the_rest(connection, objects, topic, given):
    # Given a stream that was left after some samples, and a log that grew since
    topic.send(range(40))
    stream = TopicStream(connection, objects, options=TopicOptions(ahead=3))
    first = pair_ids(islice(stream, given))
    state = stream.state_dict()
    sent = by_partition(topic.sent)
    if given:
        topic.send(range(40, 48))
    else:
        assert state["ends"] is None  # the end is taken with the first sample

    # When
    rest = pair_ids(resumed(connection, objects, state, ahead=3))

    # Then
    assert by_partition(first + rest) == sent


@pytest.mark.parametrize("given", [0, 1, 4, 9])
def test_a_stateful_loader_gives_exactly_the_rest(connection, objects, topic, given):
    def loader() -> StatefulDataLoader:
        stream = TopicStream(connection, objects, options=TopicOptions(ahead=3))
        return StatefulDataLoader(stream, 3, num_workers=2, collate_fn=pair_ids)

    # Given a loader whose state is taken after some batches
    topic.send(range(40))
    first = loader()
    batches = iter(first)
    found = [name for batch in islice(batches, given) for name in batch]
    state = pickle.dumps(first.state_dict())
    del batches

    # When
    second = loader()
    second.load_state_dict(pickle.loads(state))
    found += [name for batch in second for name in batch]

    # Then
    assert by_partition(found) == by_partition(topic.sent)


@pytest.mark.parametrize("given", [0, 3, 9])
def test_versions_and_tombstones_replace_up_to_the_end(connection, objects, topic, given):
    # Given a pair that comes again, one that is withdrawn, and one that is both
    topic.send(range(8))
    topic.send(range(8, 12), pair_id="again")
    topic.send(range(4, 5), version=2)
    topic.withdraw(1, "pair-1")
    topic.withdraw(2, "pair-6")
    topic.send(range(6, 7), version=3)

    # When it is read to the end, with a resume on the way
    stream = TopicStream(connection, objects)
    samples = list(islice(stream, given))
    stream = resumed(connection, objects, stream.state_dict())
    samples += list(stream)

    # Then
    found = sorted((sample.pair.pair_id, sample.pair.version) for sample in samples)
    kept = [(f"pair-{number}", 1) for number in (0, 2, 3, 5, 7)]
    assert found == [("again", 1)] * 4 + sorted([*kept, ("pair-4", 2), ("pair-6", 3)])
    assert stream.skipped == {"replaced": 4, "tombstone": 1}


def test_images_are_fetched_ahead_and_in_parallel(connection, topic, tmp_path):
    # Given a store that answers only if two images are asked for at once
    together = threading.Barrier(2)

    class Store(FolderStore):
        def get(self, key: str) -> bytes:
            if key.startswith("blobs/"):
                together.wait(30)
            return super().get(key)

    topic.send(range(8))

    # When / Then
    found = pair_ids(TopicStream(connection, Store(tmp_path / "store")))
    assert sorted(found) == sorted(topic.sent)


def test_messages_that_give_no_sample_are_counted_and_left_out(
    connection, objects, topic, producer
):
    # Given a missing and a damaged image, a pair taken down, and a message that is no pair
    pairs = topic.send(range(12))
    missing, damaged = (blob_key(pairs[n].image.blob.sha256) for n in (3, 4))
    objects.delete(missing)
    objects.put(damaged, b"other bytes")
    take_down(objects, TakedownKind.PAIR, "pair-5")
    producer.send(connection.topic_prefix + TOPIC.name, b"{", key=b"x", partition=0)
    producer.flush()

    # When
    stream = TopicStream(connection, objects)
    found = pair_ids(stream)

    # Then
    assert sorted(set(topic.sent) - set(found)) == ["pair-3", "pair-4", "pair-5"]
    assert stream.skipped == {"missing": 1, "damaged": 1, "taken_down": 1, "malformed": 1}


def test_follow_gives_new_samples_until_it_is_stopped(connection, objects, topic):
    # Given a stream, read by a worker, that has given all there is
    topic.send(range(6))
    stop = multiprocessing.Event()
    stream = TopicStream(connection, objects, options=TopicOptions(follow=True, stop=stop))
    loader = StatefulDataLoader(stream, 1, num_workers=1, prefetch_factor=1, collate_fn=pair_ids)
    batches = iter(loader)
    found = [name for batch in islice(batches, 6) for name in batch]
    assert Counter(found) == Counter(topic.sent)

    # When more comes, and the stream is stopped
    topic.send(range(6, 9))
    found += [name for batch in islice(batches, 3) for name in batch]
    stop.set()

    # Then
    assert list(batches) == []
    assert by_partition(found) == by_partition(topic.sent)


def test_a_pair_in_a_quiet_partition_does_not_wait_for_a_busy_one(connection, objects, topic):
    # Given one pair in one partition, and pairs that keep coming in another
    topic.send(range(1, 2))
    busy, ended = iter(range(0, 40_000, 4)), threading.Event()

    def keep_sending() -> None:
        while not ended.wait(0.02):
            number = next(busy)
            topic.send(range(number, number + 1))

    sender = threading.Thread(target=keep_sending)
    sender.start()

    # When
    first = pair_ids(
        islice(TopicStream(connection, objects, options=TopicOptions(follow=True)), 300)
    )

    # Then
    ended.set()
    sender.join()
    assert "pair-1" in first


def test_the_state_of_another_reader_or_stream_is_refused(connection, objects, topic):
    topic.send(range(4))
    stream = TopicStream(connection, objects)
    next(iter(stream))
    with pytest.raises(ValueError, match="same numbers of ranks"):
        iter(resumed(connection, objects, stream.state_dict(), rank=0, world_size=2))
    with pytest.raises(ValueError, match="not the state of a TopicStream"):
        stream.load_state_dict({"kind": "shards/1"})


@pytest.mark.integration
def test_aborted_and_open_transactions_are_not_given(
    apache_kafka: ApacheKafka, topic_prefix: str, objects: FolderStore
) -> None:
    # Given a log with committed, aborted and open transactions
    connection = with_topics(apache_kafka.bootstrap, topic_prefix, [TOPIC])
    producer = KafkaProducer(**client_config(connection), transactional_id=f"{topic_prefix}w")
    producer.init_transactions()
    topic = Topic(connection, objects, producer)
    for first, commits in ((0, True), (10, False), (20, True)):
        producer.begin_transaction()
        topic.send(range(first, first + 4))
        if commits:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    producer.begin_transaction()
    topic.send(range(30, 34))

    # When read to the end, and again from a state in its middle
    stream = TopicStream(connection, objects)
    running = iter(stream)
    first_half = pair_ids(islice(running, 5))
    state = stream.state_dict()
    whole = first_half + pair_ids(running)

    # Then
    assert sorted(whole) == sorted(f"pair-{number}" for number in (*range(4), *range(20, 24)))
    assert sorted(first_half + pair_ids(resumed(connection, objects, state))) == sorted(whole)
    producer.abort_transaction()
    producer.close()
