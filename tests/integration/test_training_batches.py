"""Batches of both streams: each sample once, by any workers, also after resuming."""

import pickle
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Any
from uuid import uuid4

import open_clip
import pytest
from kafka import KafkaProducer
from torchdata.stateful_dataloader import StatefulDataLoader

from kaption.connections.kafka.clients import client_config
from kaption.consumers import ShardOptions, ShardStream, TopicOptions, TopicStream
from kaption.consumers.training.batches import TrainingBatches
from kaption.consumers.training.examples import ExampleMaker, TrainingBatch
from kaption.consumers.training.images import ImageTransform
from kaption.consumers.training.tokens import TextTokens
from kaption.objectstore import BlobStore
from kaption.objectstore.folder import FolderStore
from kaption.schemas import Caption, CaptionKind, encode, headers_of
from kaption.schemas.letterbox import Letterbox
from kaption.schemas.topics import CLEAN
from kaption.workers.local import Tansu
from kaption.workers.runtime.stage import Incoming
from support.stream_records import imaged, write_shards
from support.tiny_models import tiny_clip
from support.topics import with_topics

BOX = Letterbox(32, 32, "bicubic", (0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
PREFIX = f"batches-{uuid4().hex[:8]}."
NAMES = [f"{partition}-{offset}" for partition in range(4) for offset in range(20)]

Open = Callable[[], ShardStream | TopicStream]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> ExampleMaker:
    folder = tiny_clip(tmp_path_factory.mktemp("clip"), context=48)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    return ExampleMaker(TextTokens(tokenizer), ImageTransform(BOX))


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> FolderStore:
    return FolderStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def chains(objects: FolderStore) -> list[list[Incoming[Any]]]:
    """Give pairs by partition, with images, and texts of many lengths."""
    blobs = BlobStore(objects)

    def message(partition: int, offset: int) -> Incoming[Any]:
        text = "a red circle " * (1 + (partition + 4 * offset) % 9)
        caption = Caption(text=text, kind=CaptionKind.VLM)
        named = {"pair_id": f"{partition}-{offset}", "captions": (caption,)}
        return imaged(blobs, offset, partition, **named)

    return [[message(partition, offset) for offset in range(20)] for partition in range(4)]


@pytest.fixture(scope="module")
def shards(
    objects: FolderStore,
    chains: list[list[Incoming[Any]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Open:
    shards = [chain[at : at + 5] for chain in chains for at in (0, 5, 10, 15)]
    write_shards(objects, tmp_path_factory.mktemp("spool"), shards)
    return lambda: ShardStream(objects, options=ShardOptions(buffer=7))


@pytest.fixture(scope="module")
def topic(objects: FolderStore, chains: list[list[Incoming[Any]]], tansu: Tansu) -> Open:
    connection = with_topics(tansu.bootstrap, PREFIX, [CLEAN])
    producer = KafkaProducer(**client_config(connection))
    for number, chain in enumerate(chains):
        for message in chain:
            pair = message.record
            producer.send(
                PREFIX + CLEAN.name,
                encode(pair),
                key=pair.pair_id.encode(),
                headers=headers_of(pair),
                partition=number,
            )
    producer.close()
    return lambda: TopicStream(connection, objects, options=TopicOptions(ahead=3))


@pytest.fixture(params=["shards", "topic"])
def opened(request: pytest.FixtureRequest) -> Open:
    opened: Open = request.getfixturevalue(request.param)
    return opened


def loader(stream: Any, make: ExampleMaker, workers: int) -> StatefulDataLoader[TrainingBatch]:
    batches = TrainingBatches(stream, make, batch_size=4, pool_batches=3)
    return StatefulDataLoader(batches, batch_size=None, num_workers=workers)


def ids(batches: Any) -> list[str]:
    return [pair_id for batch in batches for pair_id in batch.pair_ids]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("taken", [1, 9, 17])
def test_resumed_training_gets_exactly_the_remaining_samples(
    opened: Open, make: ExampleMaker, workers: int, taken: int
) -> None:
    # Given a training that was saved twice, and resumed in between
    states: list[bytes] = []
    found: list[str] = []
    for count in (taken, 2):
        training = loader(opened(), make, workers)
        if states:
            training.load_state_dict(pickle.loads(states[-1]))
        found += ids(islice(training, count))
        states.append(pickle.dumps(training.state_dict()))
    # When it is resumed from the last state
    training = loader(opened(), make, workers)
    training.load_state_dict(pickle.loads(states[-1]))
    found += ids(training)
    # Then each sample came once, and in the next epoch once more
    assert Counter(found) == Counter(NAMES)
    assert Counter(ids(training)) == Counter(NAMES)
