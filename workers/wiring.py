"""Makes each stage with its collaborators from the settings.

Only this module knows every family. Each function below imports its own stage, so that a worker of
one stage does not load the libraries of the others. The stores load theirs at first use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.takedowns import takedown_ids
from kaption.objectstore.open import open_store
from kaption.schemas import Topic
from kaption.schemas.topics import AUDIT, CAPTIONED, CLEAN, INGESTED, RAW, SCORED
from kaption.workers import plugins
from kaption.workers.runtime.stage import Stage
from kaption.workers.settings import Settings
from kaption.workers.stores.answers import Answers
from kaption.workers.stores.captions import CaptionCache
from kaption.workers.stores.client import connect_redis
from kaption.workers.stores.dedup import Dedup
from kaption.workers.stores.embeddings import EmbeddingCache
from kaption.workers.stores.footprint import Forgetful
from kaption.workers.stores.takedowns import TakedownList

if TYPE_CHECKING:
    from kaption.workers.runtime.worker import Worker
    from kaption.workers.stages.alignment import Alignment
    from kaption.workers.stores.client import Keyspace

STAGES: Mapping[str, tuple[Topic, ...]] = {
    "ingest": (RAW,),
    "score": (INGESTED,),
    "recaption": (SCORED,),
    "select": (CAPTIONED,),
    "sink": (CLEAN,),
}
"""The topics that each stage reads, in the order of the flow. A test compares it with the classes:
reading it from them would load their libraries."""

OUTPUTS: Mapping[str, tuple[Topic, ...]] = {
    "ingest": (INGESTED,),
    "score": (SCORED, CAPTIONED),
    "recaption": (CAPTIONED,),
    "select": (CLEAN, AUDIT),
    "sink": (),
}
"""The topics that each stage writes to, besides pairs.rejected and pairs.dead."""

AnyStage = Stage[Any, Any]


def build_stage(name: str, settings: Settings) -> AnyStage:
    """The stage, not yet set up: one of `STAGES`, or a user's own by its plug-in name.

    Raises Fatal on a name that cannot be found and on settings that cannot be used.
    """
    if name in _BUILDERS:
        return _BUILDERS[name](settings)
    return plugins.load_stage(name, settings.stages, settings)


def require_stage(name: str) -> None:
    """Raise Fatal, with the names there are, where `build_stage` would not know this one."""
    if name not in _BUILDERS:
        plugins.OWN_STAGES.find(name)


def build_worker(name: str, settings: Settings) -> Worker:
    """A replica of the stage, not yet running."""
    from kaption.workers.runtime.policy import RuntimePolicy
    from kaption.workers.runtime.worker import Worker

    policy = RuntimePolicy.of(settings.runtime)
    return Worker(build_stage(name, settings), settings.kafka, policy)


def build_takedowns(settings: Settings) -> TakedownList:
    """The list of takedowns, in Redis, of the dataset that the settings name."""
    read_ids = partial(takedown_ids, open_store(settings.store), settings.sink.prefix)
    return TakedownList(*_redis(settings), read_ids)


def forgetful_stores(settings: Settings) -> list[Forgetful]:
    """The stores in Redis that hold entries about single pairs."""
    client, prefix = _redis(settings)
    return [
        Dedup(client, prefix, settings.ingest.dedup),
        Answers(client, prefix, ttl_s=settings.ingest.answers_ttl_s),
        EmbeddingCache(client, prefix),
        CaptionCache(client, prefix),
    ]


def _now() -> datetime:
    return datetime.now(UTC)


def _redis(settings: Settings) -> Keyspace:
    return connect_redis(settings.redis), settings.redis.key_prefix


def _blobs(settings: Settings) -> BlobStore:
    return BlobStore(open_store(settings.store))


def _ingest(settings: Settings) -> AnyStage:
    from kaption.workers.decode.pool import DecodePool
    from kaption.workers.fetch.fetcher import Fetcher
    from kaption.workers.stages.ingest.stage import IngestParts, IngestStage
    from kaption.workers.text.language import LanguageDetector

    policy = settings.ingest
    client, prefix = _redis(settings)
    parts = IngestParts(
        fetcher=Fetcher(policy.fetch),
        decoder=DecodePool(policy.image),
        blobs=_blobs(settings),
        dedup=Dedup(client, prefix, policy.dedup),
        answers=Answers(client, prefix, ttl_s=policy.answers_ttl_s),
        takedowns=build_takedowns(settings),
        languages=LanguageDetector(policy.text),
    )
    return IngestStage(policy, parts, now=_now)


def _alignment(settings: Settings) -> Alignment:
    from kaption.workers.stages.alignment import Alignment

    embeddings = EmbeddingCache(*_redis(settings))
    return Alignment(settings.clip, _blobs(settings), embeddings, plugins.load_scorer)


def _score(settings: Settings) -> AnyStage:
    from kaption.workers.stages.score import ScoreStage

    return ScoreStage(settings.score, _alignment(settings), now=_now)


def _recaption(settings: Settings) -> AnyStage:
    from kaption.workers.stages.recaption import RecaptionStage

    return RecaptionStage(
        settings.recaption,
        _blobs(settings),
        CaptionCache(*_redis(settings)),
        load_captioners=plugins.load_captioners,
        now=_now,
    )


def _select(settings: Settings) -> AnyStage:
    from kaption.workers.stages.select.stage import SelectStage

    checks = plugins.load_checks(settings.select)
    return SelectStage(
        settings.select, _alignment(settings), checks, build_takedowns(settings), now=_now
    )


def _sink(settings: Settings) -> AnyStage:
    from kaption.workers.stages.sink.stage import SinkStage

    return SinkStage(settings.sink, open_store(settings.store), _blobs(settings), now=_now)


_BUILDERS: Mapping[str, Callable[[Settings], AnyStage]] = {
    "ingest": _ingest,
    "score": _score,
    "recaption": _recaption,
    "select": _select,
    "sink": _sink,
}
