"""Makes each stage with its collaborators from the settings.

Only this module knows every family. Each function below imports its own stage, so that a worker of
one stage does not load the libraries of the others. The stores load theirs at first use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from prometheus_client import Histogram

from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.takedowns import lifted_ids, takedown_ids
from kaption.objectstore.open import open_store
from kaption.objectstore.store import ObjectStore
from kaption.schemas import Topic
from kaption.schemas.topics import AUDIT, CAPTIONED, CLEAN, INGESTED, RAW, SCORED
from kaption.workers import plugins
from kaption.workers.checks.check import Masks
from kaption.workers.runtime.stage import Stage
from kaption.workers.safety.documents import DocumentCheck
from kaption.workers.safety.images import image_checks
from kaption.workers.safety.personal.mask import personal_masks
from kaption.workers.settings import Settings
from kaption.workers.stores.answers import Answers
from kaption.workers.stores.bank import Bank
from kaption.workers.stores.budget import DailyBudget
from kaption.workers.stores.captions import CaptionCache
from kaption.workers.stores.client import keyspace
from kaption.workers.stores.copy_texts import CopyTexts
from kaption.workers.stores.cosines import CosineStore
from kaption.workers.stores.dedup import Dedup
from kaption.workers.stores.embeddings import EmbeddingCache
from kaption.workers.stores.footprint import Forgetful
from kaption.workers.stores.ocr import OcrCache
from kaption.workers.stores.phrase_counts import PhraseCounts
from kaption.workers.stores.semantic import SemanticClaims
from kaption.workers.stores.strata import Strata
from kaption.workers.stores.takedowns import TakedownList
from kaption.workers.stores.versions import Versions

if TYPE_CHECKING:
    from kaption.workers.runtime.worker import Worker
    from kaption.workers.stages.alignment import Alignment
    from kaption.workers.stages.bar import Bar

STORE_SECONDS = Histogram(
    "kaption_store_seconds",
    "Seconds of one call to S3, with its repetitions. Rising: look at the server and the network.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60),
)
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
    dataset = _store(settings), settings.sink.prefix
    return TakedownList(
        *keyspace(settings.redis), partial(takedown_ids, *dataset), partial(lifted_ids, *dataset)
    )


def daily_budget(settings: Settings) -> DailyBudget:
    """What captioners took today, and may take, over all workers."""
    return DailyBudget(*keyspace(settings.redis), settings.recaption.daily_budget.limits, _now)


def forgetful_stores(settings: Settings) -> list[Forgetful]:
    """The stores in Redis that hold entries about single pairs."""
    client, prefix = keyspace(settings.redis)
    return [
        Dedup.connected(settings.redis, settings.ingest.dedup),
        Answers(client, prefix, ttl_s=settings.ingest.answers_ttl_s),
        EmbeddingCache(client, prefix),
        CaptionCache(client, prefix),
        Bank(client, prefix, settings.select.bank_images),
        CopyTexts(client, prefix, settings.ingest.dedup.copy_texts),
        OcrCache(client, prefix),
        _semantic(settings),
        Versions(client, prefix),
    ]


def _now() -> datetime:
    return datetime.now(UTC)


def _store(settings: Settings) -> ObjectStore:
    return open_store(settings.store, STORE_SECONDS.observe)


def _blobs(settings: Settings) -> BlobStore:
    return BlobStore(_store(settings))


def _ingest(settings: Settings) -> AnyStage:
    from kaption.workers.decode.pool import DecodePool
    from kaption.workers.fetch.fetcher import Fetcher
    from kaption.workers.models.ocr import RapidOcr
    from kaption.workers.stages.ingest.arrivals import IngestParts
    from kaption.workers.stages.ingest.stage import IngestStage
    from kaption.workers.text.language import LanguageDetector

    policy = settings.ingest
    client, prefix = keyspace(settings.redis)
    parts = IngestParts(
        fetcher=Fetcher(policy.fetch),
        decoder=DecodePool(policy.image),
        blobs=_blobs(settings),
        dedup=Dedup.connected(settings.redis, policy.dedup),
        answers=Answers(client, prefix, ttl_s=policy.answers_ttl_s),
        copies=CopyTexts(client, prefix, policy.dedup.copy_texts),
        takedowns=build_takedowns(settings),
        languages=LanguageDetector(policy.text),
        safety=settings.safety,
        masks=build_masks(settings),
        documents=_documents(settings),
        image_checks=image_checks(settings.safety, RapidOcr),
    )
    return IngestStage(policy, parts, now=_now)


def build_masks(settings: Settings) -> Masks:
    """What hides personal data, and what plug-ins hide, in every text that is kept."""
    checks = plugins.load_checks(settings.select)
    return Masks([*personal_masks(settings.safety.personal_data), *checks])


def _documents(settings: Settings) -> DocumentCheck:
    return DocumentCheck(settings.safety.documents.most)


def _alignment(settings: Settings) -> Alignment:
    from kaption.workers.models.shared import shared
    from kaption.workers.stages.alignment import Alignment

    embeddings = EmbeddingCache(*keyspace(settings.redis))
    load = partial(shared, load=plugins.load_scorer)
    cosines = CosineStore(*keyspace(settings.redis))
    return Alignment(settings.clip, _blobs(settings), embeddings, cosines, load)


def _score(settings: Settings) -> AnyStage:
    from kaption.workers.stages.score import ScoreStage, ScoreStores

    checks = plugins.load_checks(settings.select, alt_texts=True)
    copies = CopyTexts(*keyspace(settings.redis), settings.ingest.dedup.copy_texts)
    semantic = None if settings.score.semantic == "off" else _semantic(settings)
    stores = ScoreStores(copies, semantic)
    alignment = _alignment(settings)
    return ScoreStage(settings.score, alignment, settings.select, checks, stores, now=_now)


def _semantic(settings: Settings) -> SemanticClaims:
    policy = settings.score
    return SemanticClaims(*keyspace(settings.redis), policy.semantic_cosine, policy.semantic_images)


def _bar(settings: Settings) -> Bar:
    from kaption.workers.stages.bar import Bar

    checks = plugins.load_checks(settings.select)
    return Bar(settings.recaption.bar, _alignment(settings), settings.select, checks)


def _recaption(settings: Settings) -> AnyStage:
    from kaption.workers.models.ocr import RapidOcr
    from kaption.workers.stages.image_text import ImageTexts
    from kaption.workers.stages.recaption import RecaptionParts, RecaptionStage

    policy = settings.recaption
    texts = ImageTexts(OcrCache(*keyspace(settings.redis)), RapidOcr)
    parts = RecaptionParts(
        _blobs(settings),
        CaptionCache(*keyspace(settings.redis)),
        plugins.load_captioners,
        texts if policy.ocr is not None else None,
        _bar(settings) if policy.large else None,
        daily_budget(settings) if policy.daily_budget.limits else None,
        build_masks(settings),
        _documents(settings),
    )
    return RecaptionStage(policy, parts, now=_now)


def _select(settings: Settings) -> AnyStage:
    from kaption.workers.stages.select.stage import SelectStage, SelectStores

    policy = settings.select
    stores = SelectStores(
        takedowns=build_takedowns(settings),
        bank=Bank(*keyspace(settings.redis), policy.bank_images),
        phrases=PhraseCounts(*keyspace(settings.redis)),
        strata=Strata(*keyspace(settings.redis)),
        versions=Versions(*keyspace(settings.redis)) if settings.ingest.dedup.later_texts else None,
    )
    checks = plugins.load_checks(policy)
    return SelectStage(policy, _alignment(settings), checks, stores, now=_now)


def _sink(settings: Settings) -> AnyStage:
    from kaption.workers.stages.sink.stage import SinkStage

    return SinkStage(settings.sink, _store(settings), _blobs(settings), now=_now)


_BUILDERS: Mapping[str, Callable[[Settings], AnyStage]] = {
    "ingest": _ingest,
    "score": _score,
    "recaption": _recaption,
    "select": _select,
    "sink": _sink,
}
