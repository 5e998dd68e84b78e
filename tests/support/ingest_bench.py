"""An ingest stage with real parts, run without the engine."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Self

from kaption.connections.settings import RedisConnection
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.takedowns import lifted_ids, takedown_ids
from kaption.objectstore.folder import FolderStore
from kaption.schemas import ImageSource, IngestedPair, Position, RawPair, Reason
from kaption.testing.records import incoming, raw_pair
from kaption.workers.decode.pool import DecodePool
from kaption.workers.demo.painting import render
from kaption.workers.demo.scenes import random_scene
from kaption.workers.demo.site import FETCH
from kaption.workers.fetch.fetcher import Fetcher
from kaption.workers.policy.ingest import DedupPolicy, IngestPolicy, TextPolicy
from kaption.workers.runtime.stage import Emit, Incoming, Later, Outcome, Reject
from kaption.workers.stages.ingest.arrivals import IngestParts
from kaption.workers.stages.ingest.stage import IngestInput, IngestStage
from kaption.workers.stores.answers import Answers
from kaption.workers.stores.client import connect_redis
from kaption.workers.stores.copy_texts import CopyTexts
from kaption.workers.stores.dedup import Dedup
from kaption.workers.stores.takedowns import TakedownList
from kaption.workers.text.language import LanguageDetector

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TEXT = TextPolicy(detect_languages=("en", "de", "fr"))


@dataclass
class Bench:
    """The parts of an ingest stage, and the work that the engine does around it."""

    blobs: BlobStore
    dedup: Dedup
    answers: Answers
    copies: CopyTexts
    takedowns: TakedownList
    decoder: DecodePool
    policy: IngestPolicy = field(default_factory=lambda: IngestPolicy(text=TEXT, fetch=FETCH))

    @classmethod
    def opened(cls, redis_url: str, folder: Path, decoder: DecodePool) -> Self:
        """With an empty database and an empty folder."""
        connection = RedisConnection.model_validate({"url": redis_url})
        client, prefix = connect_redis(connection), connection.key_prefix
        objects = FolderStore(folder)
        return cls(
            BlobStore(objects),
            Dedup(client, prefix, DedupPolicy()),
            Answers(client, prefix, ttl_s=60),
            CopyTexts(client, prefix, 8),
            TakedownList(
                client,
                prefix,
                partial(takedown_ids, objects, "dataset"),
                partial(lifted_ids, objects, "dataset"),
            ),
            decoder,
        )

    def stage(
        self,
        blobs: BlobStore | None = None,
        policy: IngestPolicy | None = None,
        **others: Any,
    ) -> IngestStage:
        policy = policy or self.policy
        parts = IngestParts(
            Fetcher(policy.fetch),
            self.decoder,
            blobs or self.blobs,
            self.dedup,
            self.answers,
            self.copies,
            self.takedowns,
            LanguageDetector(policy.text),
            **others,
        )
        made = IngestStage(policy, parts, now=lambda: NOW)
        made.setup()
        return made

    def run(self, *messages: Incoming[RawPair], stage: IngestStage | None = None) -> list[Outcome]:
        """The outcomes in the order of the messages, as the engine would get them."""
        stage = stage or self.stage()
        batch: list[tuple[Incoming[RawPair], IngestInput]] = []
        outcomes: dict[Position, Outcome] = {}
        for message in messages:
            try:
                batch.append((message, prepared(stage, message)))
            except Reject as reject:
                outcomes[message.origin] = reject
        done = stage.process(batch) if batch else []
        for (message, _), outcome in zip(batch, done, strict=True):
            outcomes[message.origin] = outcome
        return [outcomes[message.origin] for message in messages]


def prepared(stage: IngestStage, message: Incoming[RawPair]) -> IngestInput:
    """Prepare a record, and again after each pause, as the engine does."""
    while True:
        try:
            return stage.prepare(message)
        except Later as later:
            time.sleep(later.after_s)


def image_bytes(seed: int, size: int = 256, kind: str = "PNG", crop: float = 0.0) -> bytes:
    rng = random.Random(seed)
    image = render(random_scene(rng, 4 / 3), 320, rng)
    edge = round(crop * image.width)
    image = image.crop((edge, edge, image.width - edge, image.height - edge))
    file = BytesIO()
    image.resize((size, size * 3 // 4)).save(file, kind)
    return file.getvalue()


def message(source: ImageSource, offset: int, text: str) -> Incoming[RawPair]:
    return incoming(raw_pair(offset, text=text, image=source), offset)


def raw(data: bytes, offset: int, text: str = "A red vase on a wooden table") -> Incoming[RawPair]:
    return message(ImageSource(inline=data), offset, text)


def linked(url: str, offset: int) -> Incoming[RawPair]:
    return message(ImageSource(url=url), offset, "A red vase on a wooden table")


def emitted(outcome: Outcome) -> IngestedPair:
    assert isinstance(outcome, Emit)
    ((topic, record),) = outcome.outputs
    assert topic.name == "pairs.ingested"
    assert isinstance(record, IngestedPair)
    return record


def reasons(outcomes: Sequence[Outcome]) -> list[Reason | None]:
    return [one.reason if isinstance(one, Reject) else None for one in outcomes]
