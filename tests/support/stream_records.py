"""Datasets for streams to read, written by the sink, with real images where a test needs them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from kaption.consumers import ShardOptions, ShardStream
from kaption.consumers.stream import Sample
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.takedowns import add_takedown
from kaption.objectstore.store import ObjectStore
from kaption.schemas import CleanPair, Takedown, TakedownKind
from kaption.workers.runtime.stage import Incoming
from support.sink_records import TOPIC, done, now, open_sink, run, stored

Chains = Mapping[int, Sequence[Sequence[int]]]
"""The offsets of each shard, by partition."""

CHAINS: Chains = {
    0: [[0, 1, 2], [4, 5], [7, 8, 9]],
    1: [[0, 1, 2, 3], [5]],
    2: [[2, 3], [4, 5], [6, 7], [8, 9]],
}
ALL = sorted(f"{p}-{offset}" for p, chain in CHAINS.items() for each in chain for offset in each)
"""The names of the pairs of `CHAINS`."""


def jpeg(number: int) -> bytes:
    """Make an image that differs in size and colour from those of the next numbers."""
    size = (40 + 8 * (number % 5), 32 + 8 * (number % 3))
    file = BytesIO()
    Image.new("RGB", size, (number * 37 % 256, number * 91 % 256, 128)).save(file, "JPEG")
    return file.getvalue()


def imaged(
    blobs: BlobStore, offset: int, partition: int = 0, **changed: object
) -> Incoming[CleanPair]:
    """Make a pair like `stored`, with a real JPEG."""
    message = stored(blobs, offset, partition, **changed)
    data = jpeg(offset)
    width, height = Image.open(BytesIO(data)).size
    image = message.record.image.model_copy(
        update={"blob": blobs.put(data, "image/jpeg"), "width": width, "height": height}
    )
    record = message.record.model_copy(update={"image": image})
    return replace(message, record=record)


def named(blobs: BlobStore, offset: int, partition: int, **changed: object) -> Incoming[CleanPair]:
    """Make a pair like `stored`, named ``partition-offset``."""
    return stored(blobs, offset, partition, **{"pair_id": f"{partition}-{offset}"} | changed)


def write_shards(
    objects: ObjectStore,
    spool: Path,
    shards: Iterable[Sequence[Incoming[CleanPair]]],
    prefix: str = "dataset",
) -> None:
    """Append one shard for each sequence of messages of one partition."""
    sink, resumed = open_sink(objects, spool, "w1", prefix), set[int]()
    for shard in shards:
        first = shard[0].position
        if first.partition not in resumed:
            sink.resume(TOPIC, first.partition, first.offset)
            resumed.add(first.partition)
        assert done(run(sink, shard))
    sink.close()


def write_chains(
    objects: ObjectStore, spool: Path, chains: Chains, prefix: str = "dataset"
) -> None:
    """Append shards of pairs named ``partition-offset``."""
    blobs = BlobStore(objects)
    write_shards(
        objects,
        spool,
        (
            [named(blobs, offset, partition) for offset in offsets]
            for partition, chain in chains.items()
            for offsets in chain
        ),
        prefix,
    )


def take_down(
    objects: ObjectStore, kind: TakedownKind, value: str, prefix: str = "dataset"
) -> None:
    takedown = Takedown(kind=kind, value=value, requested_at=now())
    add_takedown(objects, prefix, takedown)


def pair_ids(samples: Iterable[Sample]) -> list[str]:
    """Return the samples' pair_ids; also a collate_fn."""
    return [sample.pair.pair_id for sample in samples]


def resumed(objects: ObjectStore, state: dict[str, Any], **options: Any) -> ShardStream:
    """Make a stream that goes on from a state, which has been JSON meanwhile."""
    stream = ShardStream(objects, options=ShardOptions(**options))
    stream.load_state_dict(json.loads(json.dumps(state)))
    return stream
