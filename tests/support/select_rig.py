"""The select stage with a tiny model, a real Redis cache and blobs in a folder."""

from collections.abc import Sequence

import redis

from kaption.schemas import (
    Caption,
    CaptionedPair,
    CaptionKind,
    CleanPair,
    Takedown,
)
from kaption.schemas.topics import CLEAN
from kaption.testing.records import captioned_pair, store_image
from kaption.workers.models.open_clip import OpenClipScorer
from kaption.workers.plugins import load_checks
from kaption.workers.policy.score import ClipPolicy
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.runtime.stage import Emit, Outcome, Reject
from kaption.workers.stages.alignment import Alignment
from kaption.workers.stages.select.stage import SelectStage, SelectStores
from kaption.workers.stores.bank import Bank
from kaption.workers.stores.cosines import CosineStore
from kaption.workers.stores.embeddings import EmbeddingCache
from kaption.workers.stores.phrase_counts import PhraseCounts
from kaption.workers.stores.strata import Strata
from support.model_stages import NOW, FolderBlobs, message, taken_down


def stage(
    scorer: OpenClipScorer,
    blobs: FolderBlobs,
    redis_url: str,
    takedowns: Sequence[Takedown] = (),
    **policy: object,
) -> SelectStage:
    policy = {"min_score": -1.0, "audit_fraction": 0.0} | policy
    chosen = SelectPolicy.model_validate(policy)
    clip = ClipPolicy(model="tiny", device="cpu")
    cache = EmbeddingCache(redis.Redis.from_url(redis_url), "t:")
    cosines = CosineStore(redis.Redis.from_url(redis_url), "t:")
    alignment = Alignment(clip, blobs, cache, cosines, lambda _: scorer)
    checks, gone = load_checks(chosen), taken_down(redis_url, *takedowns)
    bank = Bank(redis.Redis.from_url(redis_url), "t:", chosen.bank_images)
    phrases = PhraseCounts(redis.Redis.from_url(redis_url), "t:")
    strata = Strata(redis.Redis.from_url(redis_url), "t:")
    stores = SelectStores(gone, bank, phrases, strata)
    made = SelectStage(chosen, alignment, checks, stores, now=lambda: NOW)
    made.setup()
    return made


def vlm(text: str, score: float | None = None) -> Caption:
    return Caption(text=text, kind=CaptionKind.VLM, score=score)


def original(text: str, score: float | None = None) -> Caption:
    return Caption(text=text, kind=CaptionKind.ORIGINAL, score=score)


def captioned(
    blobs: FolderBlobs, alt: str | None, *candidates: str, pair_id: str = "pair", number: int = 0
) -> CaptionedPair:
    return captioned_pair(
        0,
        *candidates,
        pair_id=pair_id,
        text=alt or "",
        clean_text=alt or "",
        image=store_image(blobs, number),
        original=original(alt) if alt else None,
    )


def run(made: SelectStage, pair: CaptionedPair) -> Outcome:
    incoming = message(pair)
    try:
        prepared = made.prepare(incoming)
    except Reject as reject:
        return reject
    (outcome,) = made.process([(incoming, prepared)])
    return outcome


def clean(outcome: Outcome) -> CleanPair:
    assert isinstance(outcome, Emit)
    topic, record = outcome.outputs[0]
    assert topic == CLEAN
    assert isinstance(record, CleanPair)
    return record


def run_all(made: SelectStage, pairs: Sequence[CaptionedPair]) -> list[Outcome]:
    """The outcomes of one batch."""
    return list(made.process([(message(pair), made.prepare(message(pair))) for pair in pairs]))


def crowd(blobs: FolderBlobs, count: int, first: int = 0) -> list[CaptionedPair]:
    """Pairs with an image of their own each."""
    texts = ["a red circle on grass", "the big blue table", "a green square with snow and water"]
    return [
        captioned(blobs, "a plain photo", *texts, pair_id=f"pair {n}", number=n)
        for n in range(first, first + count)
    ]
