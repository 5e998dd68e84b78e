"""Which captions select keeps, and in which order."""

import numpy as np
import pytest
import redis

from kaption.schemas import (
    Caption,
    Reason,
    Takedown,
    TakedownKind,
    TextSource,
)
from kaption.workers.models.open_clip import OpenClipScorer
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.runtime.stage import Emit, Reject
from kaption.workers.stages.select.ranking import rank
from support.model_stages import NOW, FolderBlobs
from support.select_rig import captioned, clean, crowd, original, run, run_all, stage, vlm


def test_captions_are_ranked_by_what_they_say_about_this_image_alone(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str
) -> None:
    # Given a batch of four images; when it is selected
    pairs = [clean(o) for o in run_all(stage(scorer, blobs, redis_url), crowd(blobs, 4))]

    # Then both numbers stand at each caption and at the alt text, and the specificity ranks
    for pair in pairs:
        first, second = pair.captions
        assert first.specificity is not None
        assert second.specificity is not None
        assert first.specificity >= second.specificity - SelectPolicy().margin
        assert pair.original_score is not None
        assert pair.original_specificity is not None
        assert pair.original_specificity < pair.original_score
        assert pair.provenance.stages[-1].bank_id is not None


def test_with_a_full_bank_neither_the_batch_nor_a_redelivery_matters(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str
) -> None:
    # Given a bank of eight that is full
    run_all(stage(scorer, blobs, redis_url, bank_images=8), crowd(blobs, 12))
    pairs = crowd(blobs, 12)
    # When pairs come together, and again one by one, to workers that read the bank anew
    together = run_all(stage(scorer, blobs, redis_url, bank_images=8), pairs)
    alone = [run(stage(scorer, blobs, redis_url, bank_images=8), pair) for pair in pairs]
    # Then captions, numbers and the bank's id are the same
    for one, other in zip(map(clean, together), map(clean, alone), strict=True):
        assert [c.text for c in one.captions] == [c.text for c in other.captions]
        assert one.provenance.stages[-1].bank_id == other.provenance.stages[-1].bank_id
        np.testing.assert_allclose(
            [c.specificity or 0 for c in one.captions],
            [c.specificity or 0 for c in other.captions],
            atol=1e-3,
        )


def test_only_accepted_images_enter_the_bank(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str
) -> None:
    # Given a pair that is accepted, one that is taken down, and one whose texts fit badly
    takedown = Takedown(kind=TakedownKind.PAIR, value="pair 1", requested_at=NOW)
    made = stage(scorer, blobs, redis_url, takedowns=[takedown])
    poor = stage(scorer, blobs, redis_url, min_score=0.999)
    pairs = crowd(blobs, 3)
    # When they are selected
    run_all(made, pairs[:2])
    run_all(poor, pairs[2:])
    # Then only the first is in the bank
    kept = made._bank.get(scorer.revision, scorer.preprocessing_id)
    assert list(kept.sha256s) == [pairs[0].image.blob.sha256]


def test_without_a_bank_captions_are_ranked_by_the_cosine(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str
) -> None:
    made = stage(scorer, blobs, redis_url, bank_images=0)

    pairs = [clean(outcome) for outcome in run_all(made, crowd(blobs, 3))]

    assert {c.specificity for pair in pairs for c in pair.captions} == {None}
    assert {pair.provenance.stages[-1].bank_id for pair in pairs} == {None}
    assert not made._bank.get(scorer.revision, scorer.preprocessing_id).sha256s


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


def found_at(text: str, page: str, score: float | None = None) -> Caption:
    source = TextSource(pair_id=f"of {page}", page_url=page)
    return original(text, score).model_copy(update={"source": source})


def test_the_text_of_a_copy_competes_and_keeps_its_source(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str
) -> None:
    # Given a pair whose own text repeats itself, and the text of a copy, scored by another scorer
    other = found_at("a red circle on grass", "https://b.example/", 9.0)
    own = "vase vase vase vase vase vase"
    pair = captioned(blobs, own).model_copy(update={"other_texts": (other,)})

    # When
    kept = clean(run(stage(scorer, blobs, redis_url), pair))

    # Then it is kept, and the score of the original is not that of the copy
    (best,) = kept.captions
    assert (best.text, best.source) == (other.text, other.source)
    assert best.score is not None
    assert best.score < 1.0
    assert (kept.clean_text, kept.original_score) == (own, None)


@pytest.mark.parametrize("own", ["a blue star on snow", None])
def test_the_text_of_a_copy_that_was_taken_down_is_not_used(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str, own: str | None
) -> None:
    # Given a takedown of the copy's page, after its text was scored
    gone = Takedown(kind=TakedownKind.DOMAIN, value="b.example", requested_at=NOW)
    other = found_at("a red circle on grass", "https://www.b.example/")
    pair = captioned(blobs, own).model_copy(update={"other_texts": (other,)})

    # When
    outcome = run(stage(scorer, blobs, redis_url, [gone], min_score=-2.0), pair)

    # Then the pair goes on with its own text, if it has one
    if own is None:
        assert isinstance(outcome, Reject)
        assert outcome.reason is Reason.TAKEN_DOWN
    else:
        assert [caption.text for caption in clean(outcome).captions] == [own]


@pytest.mark.parametrize(
    "short", ["Red vase", "猫", "赤い花", "แมวดำ", "Kuh", "قطة سوداء", "고양이"]
)
def test_a_short_text_is_kept_only_where_no_longer_one_is(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str, short: str
) -> None:
    # Given pairs with a short alt text, one of them with a long candidate too
    made = stage(scorer, blobs, redis_url, short_specificity=-2.0)
    texts = [(short,), (short, "a red circle on grass")]
    pairs = [captioned(blobs, *each, pair_id=f"pair {n}", number=n) for n, each in enumerate(texts)]
    # When they are selected
    alone, beside = map(clean, run_all(made, pairs))
    # Then the short one is kept alone, and each kept text passed its checks
    assert [c.text for c in alone.captions] == [short]
    assert [c.text for c in beside.captions] == ["a red circle on grass"]
    assert all(check.passed for check in alone.captions[0].checks)


def test_a_short_text_is_kept_where_it_fits_its_image_better_than_others(
    scorer: OpenClipScorer, blobs: FolderBlobs, redis_url: str
) -> None:
    # Given the specificities of a short text at five images
    pairs = [captioned(blobs, "Red vase", pair_id=f"pair {n}", number=n) for n in range(5)]
    every = run_all(stage(scorer, blobs, redis_url, short_specificity=-2.0), pairs)
    known = [clean(each).captions[0].specificity or 0.0 for each in every]
    limit = sorted(known)[2]
    # When the middle one is the limit
    redis.Redis.from_url(redis_url).flushdb()
    outcomes = run_all(stage(scorer, blobs, redis_url, short_specificity=limit), pairs)
    # Then those above it are kept, and the others are refused for their length
    assert [isinstance(each, Emit) for each in outcomes] == [one > limit for one in known]
    refused = [each for each in outcomes if isinstance(each, Reject)]
    assert {each.reason for each in refused} == {Reason.CHECKS_FAILED}
    assert all("original: length (2 words" in each.detail for each in refused)


@pytest.mark.parametrize(
    ("alt", "candidates", "policy"),
    [
        (None, ("Red vase",), {}),
        ("Red vase", (), {"bank_images": 0}),
        ("Red vase", (), {"short_specificity": 2.0}),
        ("!!! ★", (), {}),
    ],
)
def test_short_captions_of_models_and_texts_that_nothing_can_judge_are_refused(
    scorer: OpenClipScorer,
    blobs: FolderBlobs,
    redis_url: str,
    alt: str | None,
    candidates: tuple[str, ...],
    policy: dict[str, object],
) -> None:
    made = stage(scorer, blobs, redis_url, (), **{"short_specificity": -2.0} | policy)
    run_all(made, crowd(blobs, 2, first=5))

    outcome = run(made, captioned(blobs, alt, *candidates))

    assert isinstance(outcome, Reject)
    assert outcome.reason is Reason.CHECKS_FAILED
    assert "length (" in outcome.detail
