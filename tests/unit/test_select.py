"""The select stage with a tiny model, a real Redis cache and blobs in a folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import redis

from kaption.schemas import (
    AuditState,
    Caption,
    CaptionedPair,
    CaptionKind,
    CleanPair,
    Reason,
    Takedown,
    TakedownKind,
)
from kaption.schemas.topics import AUDIT, CLEAN
from kaption.testing.records import captioned_pair, store_image
from kaption.workers.models.open_clip import OpenClipScorer, build
from kaption.workers.plugins import load_checks
from kaption.workers.policy import ClipPolicy, SelectPolicy
from kaption.workers.runtime.stage import Emit, Outcome, Reject
from kaption.workers.stages.alignment import Alignment
from kaption.workers.stages.provenance import Tracer
from kaption.workers.stages.select.ranking import rank
from kaption.workers.stages.select.stage import SelectStage, sampled
from kaption.workers.stores.embeddings import EmbeddingCache
from support.model_stages import NOW, FolderBlobs, message, taken_down
from support.tiny_models import tiny_clip


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> OpenClipScorer:
    folder = tiny_clip(tmp_path_factory.mktemp("clip"))
    return build(ClipPolicy(model=f"local-dir:{folder}", device="cpu"))


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path)


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
    alignment = Alignment(clip, blobs, cache, lambda _: scorer)
    checks, gone = load_checks(chosen), taken_down(redis_url, *takedowns)
    made = SelectStage(chosen, alignment, checks, gone, now=lambda: NOW)
    made.setup()
    return made


def vlm(text: str, score: float | None = None) -> Caption:
    return Caption(text=text, kind=CaptionKind.VLM, score=score)


def original(text: str, score: float | None = None) -> Caption:
    return Caption(text=text, kind=CaptionKind.ORIGINAL, score=score)


def captioned(
    blobs: FolderBlobs, alt: str | None, *candidates: str, pair_id: str = "pair"
) -> CaptionedPair:
    return captioned_pair(
        0,
        *candidates,
        pair_id=pair_id,
        text=alt or "",
        clean_text=alt or "",
        image=store_image(blobs),
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


def test_the_best_captions_are_kept_best_first(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str
) -> None:
    texts = ["a red circle on grass", "a blue star on snow", "the green square with a big table"]

    pair = clean(run(stage(scorer, blobs, redis_url), captioned(blobs, None, *texts)))

    scores = [caption.score for caption in pair.captions]
    assert len(pair.captions) == 2
    assert scores == sorted(scores, key=lambda score: -(score or 0))
    assert all(len(caption.checks) == 6 for caption in pair.captions)
    assert pair.provenance.stages[-1].stage == "select"


def test_an_original_without_a_score_is_scored(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str
) -> None:
    pair = clean(run(stage(scorer, blobs, redis_url), captioned(blobs, "a plain photo")))

    assert [caption.kind for caption in pair.captions] == [CaptionKind.ORIGINAL]
    assert pair.captions[0].score == pair.original_score is not None


@pytest.mark.parametrize(("revision", "expected"), [("", 0.125), ("older", None)])
def test_an_original_that_failed_a_check_keeps_the_score_that_this_scorer_gave(
    scorer: OpenClipScorer,
    blobs: FolderBlobs,
    redis_url: str,
    revision: str,
    expected: float | None,
) -> None:
    # Given an alt text that was scored and is too short for a caption
    pair = captioned(blobs, "photo", "a red circle on grass")
    trace = Tracer("score", lambda: NOW).trace(
        0.0, {scorer.model: revision or scorer.revision}, scorer.preprocessing_id
    )
    fields = {"original": original("photo", 0.125), "provenance": pair.provenance.then(trace)}

    # When the candidate is chosen
    kept = clean(run(stage(scorer, blobs, redis_url), pair.model_copy(update=fields)))

    # Then its score is kept, if the same scorer gave it
    assert [caption.kind for caption in kept.captions] == [CaptionKind.VLM]
    assert kept.original_score == expected


def test_a_pair_that_was_taken_down_after_ingest_is_rejected(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str
) -> None:
    takedown = Takedown(kind=TakedownKind.PAIR, value="gone", requested_at=NOW)
    made = stage(scorer, blobs, redis_url, takedowns=[takedown])

    outcomes = [
        run(made, captioned(blobs, "a plain photo", pair_id=name)) for name in ("gone", "here")
    ]

    assert str(outcomes[0]) == f"taken_down: takedown {takedown.takedown_id}"
    assert clean(outcomes[1]).pair_id == "here"


def test_scores_do_not_depend_on_the_batch(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str
) -> None:
    made = stage(scorer, blobs, redis_url)
    pairs = [
        captioned(blobs, "a plain photo", "a red circle on grass"),
        captioned(blobs, None, "a blue star on snow", "a big green table on the grass"),
    ]
    batch = [(message(pair), made.prepare(message(pair))) for pair in pairs]

    together = [clean(outcome) for outcome in made.process(batch)]
    alone = [clean(run(made, pair)) for pair in pairs]

    for one, other in zip(together, alone, strict=True):
        assert [c.text for c in one.captions] == [c.text for c in other.captions]
        np.testing.assert_allclose(
            [c.score or 0 for c in one.captions], [c.score or 0 for c in other.captions], atol=2e-3
        )


def test_a_pair_without_texts_is_rejected_as_no_caption(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str
) -> None:
    outcome = run(stage(scorer, blobs, redis_url), captioned(blobs, None))

    assert isinstance(outcome, Reject)
    assert outcome.reason is Reason.NO_CAPTION


def test_failed_checks_are_named_with_their_numbers(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str
) -> None:
    outcome = run(stage(scorer, blobs, redis_url), captioned(blobs, "photo", "red " * 20))

    assert isinstance(outcome, Reject)
    assert outcome.reason is Reason.CHECKS_FAILED
    assert "original: length (1 words" in outcome.detail
    assert "vlm: repetition (94%" in outcome.detail


def test_a_pair_whose_best_caption_is_below_min_score_is_rejected(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str
) -> None:
    made = stage(scorer, blobs, redis_url, min_score=0.999)

    outcome = run(made, captioned(blobs, "photo", "a red circle on grass"))

    assert isinstance(outcome, Reject)
    assert outcome.reason is Reason.LOW_ALIGNMENT
    assert "< min_score 0.999" in outcome.detail
    assert "failed checks: original: length" in outcome.detail


def test_a_long_caption_carries_the_text_that_fits_the_model(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str
) -> None:
    text = "a red circle on the green grass, a big blue star, a plain table with snow"

    pair = clean(run(stage(scorer, blobs, redis_url), captioned(blobs, None, text)))

    (caption,) = pair.captions
    assert caption.text == text
    assert caption.fitted_text == "a red circle on the green grass, a big blue star"
    assert len(caption.window_scores) == 2


def test_the_audit_sample_goes_to_its_topic_too(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str
) -> None:
    made = stage(scorer, blobs, redis_url, audit_fraction=1.0)

    outcome = run(made, captioned(blobs, "a red circle"))

    pair = clean(outcome)
    assert isinstance(outcome, Emit)
    topic, copy = outcome.outputs[1]
    assert topic == AUDIT
    assert isinstance(copy, CleanPair)
    assert copy.audit.state is AuditState.SAMPLED
    assert copy.captions == pair.captions


def test_the_audit_sample_is_a_stable_share_of_the_pairs() -> None:
    names = [f"pair-{number}" for number in range(4000)]

    first = [sampled(name, 0.05) for name in names]

    assert first == [sampled(name, 0.05) for name in names]
    assert 150 < sum(first) < 250
    assert all(sampled(name, 0.2) for name, hit in zip(names, first, strict=True) if hit)


POLICY = SelectPolicy(margin=0.05, keep=2)


@pytest.mark.parametrize(("score", "first"), [(0.34, "original"), (0.36, "vlm")])
def test_a_candidate_must_beat_the_original_by_the_margin(score: float, first: str) -> None:
    captions = [original("a vase", 0.30), vlm("one red circle", score)]

    kept = rank(captions, POLICY, min_score=0.0)

    assert kept[0].kind == first
    assert len(kept) == 2


def test_near_equal_captions_collapse_into_the_better_one() -> None:
    captions = [
        vlm("a large red circle lies on wet green grass near water", 0.3),
        vlm("a large red circle lies on the wet green grass near water", 0.4),
        vlm("blue star", 0.2),
    ]

    kept = rank(captions, POLICY, min_score=0.0)

    assert [caption.score for caption in kept] == [0.4, 0.2]


def test_a_caption_below_min_score_is_not_kept() -> None:
    kept = rank([original("a vase", 0.1), vlm("red circle", 0.3)], POLICY, min_score=0.25)

    assert [caption.text for caption in kept] == ["red circle"]
