"""Fills the claims of deduplication again after Redis was lost, from what the pairs say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from operator import eq
from typing import Any, TypeVar, cast

from PIL import Image

from kaption.consumers import TopicReader
from kaption.objectstore import BlobStore, CorruptBlobError, open_store
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.objects import read_rows
from kaption.objectstore.dataset.takedowns import read_takedowns, takedown_keys
from kaption.schemas import BlobRef, CleanPair, DedupInfo, ImageRef, IngestedPair, Position
from kaption.schemas.takedown import own_rules
from kaption.schemas.topics import CLEAN, INGESTED, REJECTED
from kaption.workers.decode.likeness import packed
from kaption.workers.decode.sketch import cells
from kaption.workers.settings import Settings
from kaption.workers.stores.client import connect_redis, redis_errors
from kaption.workers.stores.dedup import Dedup
from kaption.workers.stores.footprint import Footprint
from kaption.workers.stores.near import Likeness
from kaption.workers.takedown.search import pair_in

BATCH = 512
_READERS = 16
"""Threads that read stored images."""
Claimed = IngestedPair | CleanPair
T = TypeVar("T")


@dataclass
class Rebuilt:
    """What was claimed again."""

    pairs: int = 0
    without_image: int = 0
    """Pairs whose stored image is gone: they have no claim on what it looks like."""

    def __str__(self) -> str:
        gone = f", {self.without_image} without their stored image" * bool(self.without_image)
        return f"{self.pairs:,} pairs claimed{gone}"


class Rebuild:
    """Claims the images and texts of all pairs again, for the owners that the pairs name.

    The sources are the dataset's tables, and the topics, which have pairs that are in no shard yet
    or that a later stage rejected. Pairs that are taken down are left out. Each claim may be
    repeated, so workers may run at the same time, and a rebuild that was killed continues: Redis
    holds the tables and the offsets that are done. Raises ReadError, Retry, Fatal, DamagedError.
    """

    def __init__(self, settings: Settings) -> None:
        self._kafka = settings.kafka
        self._prefix = settings.sink.prefix
        self._objects = open_store(settings.store)
        self._blobs = BlobStore(self._objects)
        self._client = connect_redis(settings.redis)
        self._dedup = Dedup.connected(settings.redis, settings.ingest.dedup)
        self._done_key = f"{settings.redis.key_prefix}rebuild"
        taken_down = read_takedowns(self._objects, takedown_keys(self._objects, self._prefix))
        self._rules = {each.rule for each in taken_down.values()}
        self._rebuilt = Rebuilt()

    def run(self, progress: Callable[[str], object]) -> Rebuilt:
        """Claim all. `progress` is called with a description after every `BATCH` pairs."""
        with redis_errors():
            held = cast("dict[bytes, bytes]", self._client.hgetall(self._done_key))
        done = {name.decode(): int(at) for name, at in held.items()}
        for manifest in read_manifests(self._objects, self._prefix):
            name = f"shard {manifest.partition}/{manifest.start}/{manifest.generation}"
            if name not in done:
                pairs = map(_pair, read_rows(self._objects, self._prefix, manifest))
                for batch in _batches(pairs):
                    self._claim(batch)
                    progress(f"{name}: {self._rebuilt}")
                self._mark({name: manifest.end})
        self._claim_topics(done, progress)
        with redis_errors():
            self._client.delete(self._done_key)
        return self._rebuilt

    def _claim_topics(self, done: dict[str, int], progress: Callable[[str], object]) -> None:
        starts = [_place(name, offset) for name, offset in done.items() if "shard" not in name]
        with TopicReader(self._kafka, (CLEAN, INGESTED, REJECTED), start=starts) as reader:
            for batch in _batches(reader):
                pairs = (pair_in(read) for read in batch)
                self._claim([pair for pair in pairs if isinstance(pair, Claimed)])
                places = [read.position for read in batch]
                self._mark({f"{each.topic}/{each.partition}": each.offset + 1 for each in places})
                progress(f"{places[-1].topic}: {self._rebuilt}")

    def _claim(self, pairs: Iterable[Claimed]) -> None:
        pairs = [pair for pair in pairs if self._rules.isdisjoint(own_rules(pair))]
        owners = [Position.parse(pair.dedup.owner) for pair in pairs]
        self._dedup.claim_exact([pair.image.original_sha256 for pair in pairs], owners)
        with ThreadPoolExecutor(_READERS) as threads:
            looks = list(threads.map(self._likeness, pairs))
        seen = [(look, by) for look, by in zip(looks, owners, strict=True) if look is not None]
        # All were kept once, so only the very image counts as held already.
        self._dedup.claim_near([look for look, _ in seen], [owner for _, owner in seen], eq)
        self._dedup.restore_texts(
            [
                (pair.clean_text.casefold(), owner, pair.dedup.text_uses)
                for pair, owner in zip(pairs, owners, strict=True)
                if pair.clean_text and pair.dedup.text_uses
            ]
        )
        self._rebuilt.pairs += len(pairs)

    def _likeness(self, pair: Claimed) -> Likeness | None:
        """What the stored image looks like. The record has its hash, but no sketch.

        The stored image may have a little less structure than the delivered one, so none is asked.
        """
        footprint = Footprint.of(pair)
        if footprint.perceptual_hash is None:
            return None
        try:
            jpeg = self._blobs.get(pair.image.blob)
            image = Image.open(BytesIO(jpeg)).convert("RGB")
            drawn = cells(image, image.convert("L"))
        except (KeyError, CorruptBlobError, OSError):
            self._rebuilt.without_image += 1
            return None
        return Likeness(footprint.perceptual_hash, packed(drawn), pair.image.blob.sha256)

    def _mark(self, done: dict[str, int]) -> None:
        with redis_errors():
            self._client.hset(self._done_key, mapping=cast(Any, done))


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _place(name: str, offset: int) -> Position:
    topic, _, partition = name.rpartition("/")
    return Position(topic, int(partition), offset)


def _pair(row: dict[str, Any]) -> CleanPair:
    """Return a pair with what `_claim` needs of a table's row."""
    image = ImageRef.model_construct(
        blob=BlobRef.model_construct(sha256=row["sha256"], bytes=row["bytes"]),
        original_sha256=row["original_sha256"],
        url=row["image_url"],
        crawled_url=row["crawled_url"],
        perceptual_hash=row["perceptual_hash"],
    )
    dedup = DedupInfo.model_construct(owner=row["dedup_owner"], text_uses=row["text_uses"])
    return CleanPair.model_construct(
        pair_id=row["pair_id"],
        page_url=row["page_url"],
        clean_text=row["clean_text"],
        image=image,
        dedup=dedup,
    )
