"""Stages with their collaborators, made from settings. The only place that knows every family.

Each stage's imports are its own function's: a worker of one stage does not pay for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from schemas import Topic
from schemas.topics import AUDIT, CAPTIONED, CLEAN, INGESTED, RAW, SCORED
from workers.runtime.stage import Stage
from workers.settings import Settings

if TYPE_CHECKING:
    from workers.runtime.worker import Worker
    from workers.stages.alignment import Alignment
    from workers.stores.footprint import Forgetful
    from workers.stores.redis_takedowns import RedisTakedowns

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
    from workers.runtime.worker import Worker

    return Worker(build_stage(name, settings), settings.kafka, settings.runtime)


def build_takedowns(settings: Settings) -> RedisTakedowns:
    """What is taken down in the dataset that the settings name, as Redis knows it."""
    from objectstore.open import open_store
    from objectstore.takedowns import takedown_ids
    from workers.stores import redis_client
    from workers.stores.redis_takedowns import RedisTakedowns

    return RedisTakedowns(
        redis_client.connect(settings.redis),
        settings.redis.key_prefix,
        partial(takedown_ids, open_store(settings.store), settings.sink.prefix),
    )


def forgetful_stores(settings: Settings) -> list[Forgetful]:
    """All that keep something of single pairs in Redis."""
    from workers.stores import redis_client
    from workers.stores.redis_answers import RedisAnswers
    from workers.stores.redis_captions import RedisCaptions
    from workers.stores.redis_dedup import RedisDedup
    from workers.stores.redis_embeddings import RedisEmbeddings

    client, prefix = redis_client.connect(settings.redis), settings.redis.key_prefix
    return [
        RedisDedup(client, prefix, settings.ingest.dedup),
        RedisAnswers(client, prefix, ttl_s=settings.ingest.answers_ttl_s),
        RedisEmbeddings(client, prefix),
        RedisCaptions(client, prefix),
    ]


def _now() -> datetime:
    return datetime.now(UTC)


def _ingest(settings: Settings) -> AnyStage:
    from objectstore.blobs import BlobStore
    from objectstore.open import open_store
    from workers.images.decode_pool import DecodePool
    from workers.images.fetch import Fetcher
    from workers.stages.ingest import IngestStage
    from workers.stores import redis_client
    from workers.stores.redis_answers import RedisAnswers
    from workers.stores.redis_dedup import RedisDedup
    from workers.text.language import LanguageDetector

    policy = settings.ingest
    client, prefix = redis_client.connect(settings.redis), settings.redis.key_prefix
    return IngestStage(
        policy,
        fetcher=Fetcher(policy.fetch),
        decoder=DecodePool(policy.image),
        blobs=BlobStore(open_store(settings.store)),
        dedup=RedisDedup(client, prefix, policy.dedup),
        answers=RedisAnswers(client, prefix, ttl_s=policy.answers_ttl_s),
        takedowns=build_takedowns(settings),
        languages=LanguageDetector(policy.text),
        now=_now,
    )


def _alignment(settings: Settings) -> Alignment:
    from objectstore.blobs import BlobStore
    from objectstore.open import open_store
    from workers.models import open_clip
    from workers.stages.alignment import Alignment
    from workers.stores import redis_client
    from workers.stores.redis_embeddings import RedisEmbeddings

    return Alignment(
        settings.clip,
        BlobStore(open_store(settings.store)),
        RedisEmbeddings(redis_client.connect(settings.redis), settings.redis.key_prefix),
        open_clip.load,
    )


def _score(settings: Settings) -> AnyStage:
    from workers.stages.score import ScoreStage

    return ScoreStage(settings.score, _alignment(settings), now=_now)


def _recaption(settings: Settings) -> AnyStage:
    from objectstore.blobs import BlobStore
    from objectstore.open import open_store
    from workers.captioners.registry import load_captioners
    from workers.stages.recaption import RecaptionStage
    from workers.stores import redis_client
    from workers.stores.redis_captions import RedisCaptions

    return RecaptionStage(
        settings.recaption,
        BlobStore(open_store(settings.store)),
        RedisCaptions(redis_client.connect(settings.redis), settings.redis.key_prefix),
        load_captioners=load_captioners,
        now=_now,
    )


def _select(settings: Settings) -> AnyStage:
    from workers.checks.registry import load_checks
    from workers.stages.select import SelectStage

    checks = load_checks(settings.select)
    return SelectStage(
        settings.select, _alignment(settings), checks, build_takedowns(settings), now=_now
    )


def _sink(settings: Settings) -> AnyStage:
    from objectstore.blobs import BlobStore
    from objectstore.open import open_store
    from workers.stages.sink import SinkStage

    objects = open_store(settings.store)
    return SinkStage(settings.sink, objects, BlobStore(objects), now=_now)


_BUILDERS: Mapping[str, Callable[[Settings], AnyStage]] = {
    "ingest": _ingest,
    "score": _score,
    "recaption": _recaption,
    "select": _select,
    "sink": _sink,
}
