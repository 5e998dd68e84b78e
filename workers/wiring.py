"""Stages with their collaborators, made from settings. The only place that knows every family.

Each stage's imports are its own function's: a worker of one stage does not pay for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from kaption.schemas import Topic
from kaption.schemas.topics import AUDIT, CAPTIONED, CLEAN, INGESTED, RAW, SCORED
from kaption.workers.runtime.stage import Stage
from kaption.workers.settings import Settings

if TYPE_CHECKING:
    from kaption.workers.runtime.worker import Worker
    from kaption.workers.stages.alignment import Alignment
    from kaption.workers.stores.footprint import Forgetful
    from kaption.workers.stores.takedowns import TakedownList

STAGES: Mapping[str, tuple[Topic, ...]] = {
    "ingest": (RAW,),
    "score": (INGESTED,),
    "recaption": (SCORED,),
    "select": (CAPTIONED,),
    "sink": (CLEAN,),
}
"""Each stage and what it reads, in the order of the flow; a test holds it against the classes."""

OUTPUTS: Mapping[str, tuple[Topic, ...]] = {
    "ingest": (INGESTED,),
    "score": (SCORED, CAPTIONED),
    "recaption": (CAPTIONED,),
    "select": (CLEAN, AUDIT),
    "sink": (),
}
"""Where each stage's records go on to, besides pairs.rejected and pairs.dead."""

AnyStage = Stage[Any, Any]


def build_stage(name: str, settings: Settings) -> AnyStage:
    """The stage, not yet set up. Raises Fatal on settings that cannot be used."""
    return _BUILDERS[name](settings)


def build_worker(name: str, settings: Settings) -> Worker:
    """A replica of the stage, not yet running."""
    from kaption.workers.runtime.policy import RuntimePolicy
    from kaption.workers.runtime.worker import Worker

    policy = RuntimePolicy.of(settings.runtime)
    return Worker(build_stage(name, settings), settings.kafka, policy)


def build_takedowns(settings: Settings) -> TakedownList:
    """What is taken down in the dataset that the settings name, as Redis knows it."""
    from kaption.objectstore.dataset.takedowns import takedown_ids
    from kaption.objectstore.open import open_store
    from kaption.workers.stores import client as redis_client
    from kaption.workers.stores.takedowns import TakedownList

    return TakedownList(
        redis_client.connect(settings.redis),
        settings.redis.key_prefix,
        partial(takedown_ids, open_store(settings.store), settings.sink.prefix),
    )


def forgetful_stores(settings: Settings) -> list[Forgetful]:
    """All that keep something of single pairs in Redis."""
    from kaption.workers.stores import client as redis_client
    from kaption.workers.stores.answers import Answers
    from kaption.workers.stores.captions import CaptionCache
    from kaption.workers.stores.dedup import Dedup
    from kaption.workers.stores.embeddings import EmbeddingCache

    client, prefix = redis_client.connect(settings.redis), settings.redis.key_prefix
    return [
        Dedup(client, prefix, settings.ingest.dedup),
        Answers(client, prefix, ttl_s=settings.ingest.answers_ttl_s),
        EmbeddingCache(client, prefix),
        CaptionCache(client, prefix),
    ]


def _now() -> datetime:
    return datetime.now(UTC)


def _ingest(settings: Settings) -> AnyStage:
    from kaption.objectstore.blobs import BlobStore
    from kaption.objectstore.open import open_store
    from kaption.workers.decode.pool import DecodePool
    from kaption.workers.fetch.fetcher import Fetcher
    from kaption.workers.stages.ingest.stage import IngestStage
    from kaption.workers.stores import client as redis_client
    from kaption.workers.stores.answers import Answers
    from kaption.workers.stores.dedup import Dedup
    from kaption.workers.text.language import LanguageDetector

    policy = settings.ingest
    client, prefix = redis_client.connect(settings.redis), settings.redis.key_prefix
    return IngestStage(
        policy,
        fetcher=Fetcher(policy.fetch),
        decoder=DecodePool(policy.image),
        blobs=BlobStore(open_store(settings.store)),
        dedup=Dedup(client, prefix, policy.dedup),
        answers=Answers(client, prefix, ttl_s=policy.answers_ttl_s),
        takedowns=build_takedowns(settings),
        languages=LanguageDetector(policy.text),
        now=_now,
    )


def _alignment(settings: Settings) -> Alignment:
    from kaption.objectstore.blobs import BlobStore
    from kaption.objectstore.open import open_store
    from kaption.workers.models import open_clip
    from kaption.workers.stages.alignment import Alignment
    from kaption.workers.stores import client as redis_client
    from kaption.workers.stores.embeddings import EmbeddingCache

    return Alignment(
        settings.clip,
        BlobStore(open_store(settings.store)),
        EmbeddingCache(redis_client.connect(settings.redis), settings.redis.key_prefix),
        open_clip.load,
    )


def _score(settings: Settings) -> AnyStage:
    from kaption.workers.stages.score import ScoreStage

    return ScoreStage(settings.score, _alignment(settings), now=_now)


def _recaption(settings: Settings) -> AnyStage:
    from kaption.objectstore.blobs import BlobStore
    from kaption.objectstore.open import open_store
    from kaption.workers.captioners.registry import load_captioners
    from kaption.workers.stages.recaption import RecaptionStage
    from kaption.workers.stores import client as redis_client
    from kaption.workers.stores.captions import CaptionCache

    return RecaptionStage(
        settings.recaption,
        BlobStore(open_store(settings.store)),
        CaptionCache(redis_client.connect(settings.redis), settings.redis.key_prefix),
        load_captioners=load_captioners,
        now=_now,
    )


def _select(settings: Settings) -> AnyStage:
    from kaption.workers.checks.registry import load_checks
    from kaption.workers.stages.select.stage import SelectStage

    checks = load_checks(settings.select)
    return SelectStage(
        settings.select, _alignment(settings), checks, build_takedowns(settings), now=_now
    )


def _sink(settings: Settings) -> AnyStage:
    from kaption.objectstore.blobs import BlobStore
    from kaption.objectstore.open import open_store
    from kaption.workers.stages.sink import SinkStage

    objects = open_store(settings.store)
    return SinkStage(settings.sink, objects, BlobStore(objects), now=_now)


_BUILDERS: Mapping[str, Callable[[Settings], AnyStage]] = {
    "ingest": _ingest,
    "score": _score,
    "recaption": _recaption,
    "select": _select,
    "sink": _sink,
}
