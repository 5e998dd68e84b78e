"""Score, recaption and select in a row, with the models that real runs load."""

import random
from collections.abc import Callable, Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import redis

from kaption.schemas import (
    CaptionedPair,
    CaptionKind,
    CleanPair,
    IngestedPair,
    Route,
    ScoredPair,
    Versioned,
)
from kaption.workers.captioners.captioner import Captioner
from kaption.workers.demo.painting import render
from kaption.workers.demo.scenes import Scene, describe, random_scene, wrong
from kaption.workers.demo.truth import agrees
from kaption.workers.models.open_clip import OpenClipScorer, build
from kaption.workers.models.windows import score_texts
from kaption.workers.plugins import load_captioners, load_checks
from kaption.workers.policy.recaption import RecaptionPolicy, SamplingPolicy, TransformersPolicy
from kaption.workers.policy.score import ClipPolicy, ScorePolicy
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.runtime.stage import Emit, Stage
from kaption.workers.stages.alignment import Alignment
from kaption.workers.stages.recaption import RecaptionParts, RecaptionStage
from kaption.workers.stages.score import ScoreStage, ScoreStores
from kaption.workers.stages.select.stage import SelectStage, SelectStores
from kaption.workers.stores.bank import Bank
from kaption.workers.stores.captions import CaptionCache
from kaption.workers.stores.copy_texts import CopyTexts
from kaption.workers.stores.cosines import CosineStore
from kaption.workers.stores.embeddings import EmbeddingCache
from kaption.workers.stores.phrase_counts import PhraseCounts
from kaption.workers.stores.strata import Strata
from support.model_stages import NOW, FolderBlobs, ingested, message, taken_down
from support.tiny_models import tiny_blip2, tiny_llava

CLIP = ClipPolicy(model="demo", device="cpu", threads=1)
R = TypeVar("R", bound=Versioned)
S = TypeVar("S", bound=Stage[Any, Any])


@pytest.fixture(scope="module")
def scorer() -> OpenClipScorer:
    return build(CLIP)


@pytest.fixture(scope="module")
def demo() -> tuple[Captioner, ...]:
    policy = TransformersPolicy(model="demo", device="cpu", threads=1)
    return load_captioners(RecaptionPolicy(transformers=policy))


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    rng = random.Random(11)
    return [random_scene(rng) for _ in range(24)]


def pair(blobs: FolderBlobs, scene: Scene, text: str, number: int) -> IngestedPair:
    file = BytesIO()
    render(scene, 256, random.Random(number)).save(file, "JPEG", quality=90)
    return ingested(blobs.put(file.getvalue()), text, f"pair-{number}")


def through(stage: Stage[R, Any], records: Sequence[R]) -> list[Versioned]:
    """What the stage emits first for each record."""
    batch = [(message(record), stage.prepare(message(record))) for record in records]
    outcomes = stage.process(batch)
    return [o.outputs[0][1] for o in outcomes if isinstance(o, Emit)]


def alignment(scorer: OpenClipScorer, blobs: FolderBlobs, url: str) -> Alignment:
    cache = EmbeddingCache(redis.Redis.from_url(url), "t:")
    cosines = CosineStore(redis.Redis.from_url(url), "t:")
    return Alignment(CLIP, blobs, cache, cosines, lambda _: scorer)


def score(scorer: OpenClipScorer, blobs: FolderBlobs, url: str) -> ScoreStage:
    accepted = SelectPolicy()
    checks = load_checks(accepted)
    scoring = alignment(scorer, blobs, url)
    stores = ScoreStores(CopyTexts(redis.Redis.from_url(url), "t:", 8))
    return _set_up(ScoreStage(ScorePolicy(), scoring, accepted, checks, stores, now=_now))


def recaption(captioners: Sequence[Captioner], blobs: FolderBlobs, url: str) -> RecaptionStage:
    cache = CaptionCache(redis.Redis.from_url(url), "t:")
    return _set_up(
        RecaptionStage(
            RecaptionPolicy(), RecaptionParts(blobs, cache, lambda _: captioners), now=_now
        )
    )


def select(scorer: OpenClipScorer, blobs: FolderBlobs, url: str) -> SelectStage:
    policy = SelectPolicy(audit_fraction=0.0)
    scoring = alignment(scorer, blobs, url)
    checks = load_checks(policy)
    bank = Bank(redis.Redis.from_url(url), "t:", policy.bank_images)
    phrases = PhraseCounts(redis.Redis.from_url(url), "t:")
    strata = Strata(redis.Redis.from_url(url), "t:")
    stores = SelectStores(taken_down(url), bank, phrases, strata)
    return _set_up(SelectStage(policy, scoring, checks, stores, now=_now))


def test_right_alt_texts_skip_the_captioner_and_wrong_ones_do_not(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str, scenes: list[Scene]
) -> None:
    rng = random.Random(3)
    right = [pair(blobs, s, describe(s), n) for n, s in enumerate(scenes)]
    false = [pair(blobs, s, describe(wrong(s, rng)), n) for n, s in enumerate(scenes)]
    stage = score(scorer, blobs, redis_url)

    kept = [isinstance(record, CaptionedPair) for record in through(stage, right)]
    passed = [isinstance(record, CaptionedPair) for record in through(stage, false)]

    assert sum(kept) >= 22
    assert sum(passed) <= 2


def test_wrong_alt_texts_are_replaced_by_what_is_to_be_seen(
    scorer: OpenClipScorer,
    demo: tuple[Captioner, ...],
    blobs: FolderBlobs,
    redis_url: str,
    scenes: list[Scene],
) -> None:
    rng = random.Random(4)
    raw = [pair(blobs, s, describe(wrong(s, rng)), n) for n, s in enumerate(scenes)]
    truth = {f"pair-{number}": scene for number, scene in enumerate(scenes)}

    scored = [r for r in through(score(scorer, blobs, redis_url), raw) if type(r) is ScoredPair]
    captioned = through(recaption(demo, blobs, redis_url), scored)
    clean = _clean(select(scorer, blobs, redis_url), captioned)

    assert len(clean) >= 20
    assert all(c.captions[0].kind is CaptionKind.VLM for c in clean)
    assert all((c.captions[0].score or 0) > (c.original_score or 0) for c in clean)
    right = sum(agrees(c.captions[0].text, truth[c.pair_id]) for c in clean)
    assert right >= 0.9 * len(clean)


def test_the_demo_captioner_leaves_its_prompts_out(
    demo: tuple[Captioner, ...], blobs: FolderBlobs, redis_url: str, scenes: list[Scene]
) -> None:
    raw = [pair(blobs, scene, "IMG", number) for number, scene in enumerate(scenes[:6])]
    scored = [ScoredPair(**dict(r), original=None, route=Route.NEEDS_CAPTION) for r in raw]

    for record in through(recaption(demo, blobs, redis_url), scored):
        assert isinstance(record, CaptionedPair)
        prompts = [caption.prompt_id for caption in record.candidates]
        assert {"demo/full", "demo/appearance", "demo/texture", "demo/context"} >= set(prompts)
        assert len(record.candidates) >= 3
        assert not any(":" in caption.text for caption in record.candidates)


@pytest.mark.parametrize("make", [tiny_blip2, tiny_llava])
def test_other_families_come_through_the_same_captioner(
    make: Callable[[Path], Path],
    blobs: FolderBlobs,
    redis_url: str,
    scenes: list[Scene],
    tmp_path: Path,
) -> None:
    sampling = SamplingPolicy(max_new_tokens=8)
    model = TransformersPolicy(model=str(make(tmp_path / "model")), device="cpu", sampling=sampling)
    captioners = load_captioners(RecaptionPolicy(transformers=model))
    raw = [pair(blobs, scene, "a red star", number) for number, scene in enumerate(scenes[:3])]
    scored = [ScoredPair(**dict(r), original=None, route=Route.NEEDS_CAPTION) for r in raw]

    for record in through(recaption(captioners, blobs, redis_url), scored):
        assert isinstance(record, CaptionedPair)
        kinds = {caption.kind for caption in record.candidates}
        assert kinds == {CaptionKind.VLM, CaptionKind.FUSED}


def test_one_token_past_the_context_scores_like_the_shorter_text(
    scorer: OpenClipScorer, scenes: list[Scene]
) -> None:
    # The usual ways are to fail or to cut the end off: torchmetrics issue 2883.
    rendered = render(scenes[0], 256, random.Random(0))
    image = scorer.encode_images([scorer.preprocess(rendered)])
    sentence = f"{describe(scenes[0])}, "
    fits = sentence
    while scorer.count_tokens(fits + sentence) <= scorer.context_length:
        fits += sentence
    longer = fits
    while scorer.count_tokens(longer) <= scorer.context_length:
        longer += "photo "

    short, long = score_texts(scorer, [fits, longer], np.repeat(image, 2, 0))

    assert len(long.window_scores) == 2
    assert long.score == pytest.approx(short.score, abs=0.05)


def _clean(stage: SelectStage, records: Sequence[Versioned]) -> list[CleanPair]:
    pairs = [record for record in records if isinstance(record, CaptionedPair)]
    return [record for record in through(stage, pairs) if isinstance(record, CleanPair)]


def _set_up(stage: S) -> S:
    stage.setup()
    return stage


def _now() -> datetime:
    return NOW
