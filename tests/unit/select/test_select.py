"""The select stage with a tiny model, a real Redis cache and blobs in a folder."""

from collections.abc import Sequence

import numpy as np
import pytest
import redis

from kaption.schemas import (
    AuditState,
    Caption,
    CaptionedPair,
    CaptionKind,
    CheckResult,
    CleanPair,
    Reason,
    Route,
    Takedown,
    TakedownKind,
)
from kaption.schemas.topics import AUDIT
from kaption.workers.models.open_clip import OpenClipScorer
from kaption.workers.runtime.stage import Emit, Reject
from kaption.workers.stages.provenance import Tracer
from kaption.workers.stores.cosines import Cell, CosineStore
from support.model_stages import NOW, FolderBlobs, message
from support.select_rig import captioned, clean, original, run, stage


def test_the_best_captions_are_kept_best_first(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str
) -> None:
    texts = ["a red circle on grass", "a blue star on snow", "the green square with a big table"]

    pair = clean(run(stage(scorer, blobs, redis_url), captioned(blobs, None, *texts)))

    scores = [caption.score for caption in pair.captions]
    assert len(pair.captions) == 2
    assert scores == sorted(scores, key=lambda score: -(score or 0))
    assert all(len(caption.checks) == 7 for caption in pair.captions)
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
    # Given an alt text that was scored and repeats itself
    pair = captioned(blobs, "red " * 20, "a red circle on grass")
    trace = Tracer("score", lambda: NOW).trace(
        0.0, {scorer.model: revision or scorer.revision}, scorer.preprocessing_id
    )
    fields = {"original": original("red " * 20, 0.125), "provenance": pair.provenance.then(trace)}

    # When the candidate is chosen
    kept = clean(run(stage(scorer, blobs, redis_url), pair.model_copy(update=fields)))

    # Then its score is kept, if the same scorer gave it
    assert [caption.kind for caption in kept.captions] == [CaptionKind.VLM]
    assert kept.original_score == expected


class ByLoss:
    """A check by a model's loss, which refuses captions with a word."""

    revision = "1"

    def __init__(self, name: str, refused: str) -> None:
        self.name = name
        self._refused = refused

    def check(self, caption: Caption) -> CheckResult:
        passed = self._refused not in caption.text
        return CheckResult(name=self.name, passed=passed, detail="" if passed else self._refused)

    def losses(self, texts: Sequence[str]) -> list[float]:
        return [0.0 for _ in texts]

    def judged(self, caption: Caption, loss: float, most: float | None) -> CheckResult:
        return self.check(caption)

    def try_out(self) -> None:
        pass


def test_every_check_by_a_loss_counts(
    scorer: OpenClipScorer,
    blobs: FolderBlobs,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given two such checks, one of them of the user's own
    checks = (ByLoss("one", "star"), ByLoss("two", "table"))
    monkeypatch.setattr("support.select_rig.load_checks", lambda policy: checks)
    texts = ("a blue star on snow", "the green square with a big table", "a red circle on grass")

    # When
    pair = clean(run(stage(scorer, blobs, redis_url), captioned(blobs, None, *texts)))

    # Then
    (kept,) = pair.captions
    assert kept.text == "a red circle on grass"
    assert {result.name for result in kept.checks} >= {"one", "two"}


def judged_good(pair: CaptionedPair, scorer: OpenClipScorer, threshold: float) -> CaptionedPair:
    """The pair as the stage score sent it on, with a threshold that it used."""
    models = {scorer.model: scorer.revision}
    trace = Tracer("score", lambda: NOW).trace(0.0, models, scorer.preprocessing_id)
    traced = pair.provenance.then(trace.model_copy(update={"threshold": threshold}))
    said = original("a red circle on grass", threshold + 0.01)
    fields = {"original": said, "provenance": traced, "route": Route.ALT_TEXT_GOOD}
    return pair.model_copy(update=fields)


def test_what_score_called_good_is_kept_though_the_threshold_rose(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str
) -> None:
    # Given a pair that passed, and a self-set threshold that no text reaches
    pair = judged_good(captioned(blobs, "a red circle on grass"), scorer, 0.3)
    store = CosineStore(redis.Redis.from_url(redis_url), "t:")
    store.use((scorer.revision, scorer.preprocessing_id), Cell(), 0.99)
    # When select sets its threshold itself, or has a fixed one
    itself = run(stage(scorer, blobs, redis_url, min_score=None), pair)
    fixed = run(stage(scorer, blobs, redis_url, min_score=0.99), pair)
    # Then the text is kept, by the threshold that is recorded; a fixed one goes before
    kept = clean(itself)
    assert [caption.kind for caption in kept.captions] == [CaptionKind.ORIGINAL]
    assert kept.provenance.stages[-1].threshold == 0.3
    assert isinstance(fixed, Reject)


def test_a_pair_that_needed_a_caption_must_reach_the_self_set_threshold(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str
) -> None:
    store = CosineStore(redis.Redis.from_url(redis_url), "t:")
    store.use((scorer.revision, scorer.preprocessing_id), Cell(), 0.99)

    outcome = run(
        stage(scorer, blobs, redis_url, min_score=None),
        captioned(blobs, None, "a red circle on grass"),
    )

    assert isinstance(outcome, Reject)
    assert "< min_score 0.990" in outcome.detail


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
