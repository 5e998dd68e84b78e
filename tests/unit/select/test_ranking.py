"""Which captions of a pair are kept, and in which order."""

import numpy as np
import pytest

from kaption.schemas import Caption, CaptionKind
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.stages.select.ranking import rank

WHOLE = "a large glossy purple star in a cloudy sky"


def said(
    text: str, score: float, specificity: float | None = None, aspect: str | None = None
) -> Caption:
    return Caption(
        text=text, kind=CaptionKind.VLM, score=score, specificity=specificity, aspect=aspect
    )


def ranked(*captions: Caption, min_score: float = 0.0, **policy: object) -> list[str]:
    chosen = SelectPolicy.model_validate(policy)
    return [caption.text for caption in rank(captions, chosen, min_score)]


@pytest.mark.parametrize("generic", ["on a beach", "in the night sky", "a glossy circle"])
def test_a_whole_description_goes_before_a_generic_phrase_with_a_higher_cosine(
    generic: str,
) -> None:
    assert ranked(said(generic, 0.7, -0.05), said(WHOLE, 0.6, 0.25))[0] == WHOLE


def test_a_specific_caption_that_does_not_fit_is_not_kept() -> None:
    assert ranked(said(WHOLE, 0.3, 0.25), said("a purple star", 0.5, 0.1), min_score=0.4) == [
        "a purple star"
    ]


def test_without_specificity_the_cosine_ranks() -> None:
    assert ranked(said("a purple star", 0.5), said(WHOLE, 0.6, 0.1))[0] == WHOLE
    assert ranked(said("a purple star", 0.7), said(WHOLE, 0.6, 0.1))[0] == "a purple star"


def test_after_the_best_come_the_aspects_that_it_lacks_then_the_others() -> None:
    # Given candidates of three aspects, two of each
    given = [
        said("a large purple star above some clouds", 0.6, 0.30, "appearance"),
        said("one big star and a small cloud", 0.6, 0.29, "appearance"),
        said("something glossy beside something dotted", 0.6, 0.10, "texture"),
        said("soft plain colours", 0.6, 0.09, "texture"),
        said("in a cloudy sky", 0.7, -0.05, "context"),
        said("up in the air", 0.7, -0.06, "context"),
    ]
    # When four of them are kept
    kept = ranked(*given, keep=4)
    # Then each aspect has its most specific caption, and the best of the others follows
    assert kept == [given[n].text for n in (0, 2, 4, 1)]


def test_a_short_and_a_long_caption_of_one_aspect_are_both_kept() -> None:
    short, long = said("a purple star", 0.6, 0.1, "appearance"), said(WHOLE, 0.6, 0.3, "appearance")

    assert ranked(short, long) == [WHOLE, "a purple star"]


@pytest.mark.parametrize(("cosine", "count"), [(0.97, 1), (0.9, 2)])
def test_captions_of_nearly_the_same_meaning_collapse_into_the_more_specific(
    cosine: float, count: int
) -> None:
    # Given two texts without a common word, whose embeddings are near
    one, other = said("two dogs play outside", 0.6, 0.1), said("a pair of puppies", 0.6, 0.2)
    vectors = {
        one.text: np.array([2.0, 0.0], np.float32),  # of any length
        other.text: np.array([cosine, (1 - cosine**2) ** 0.5], np.float32),
    }
    # When they are ranked
    kept = rank([one, other], SelectPolicy(), 0.0, vectors)
    # Then the more specific one is first, and the other is left out if it says the same
    assert [caption.text for caption in kept] == [other.text, one.text][:count]


@pytest.mark.parametrize(("specificity", "first"), [(0.24, "original"), (0.26, "vlm")])
def test_the_margin_is_one_of_specificity(specificity: float, first: str) -> None:
    alt = Caption(text="a vase", kind=CaptionKind.ORIGINAL, score=0.5, specificity=0.2)

    kept = rank([alt, said(WHOLE, 0.9, specificity)], SelectPolicy(margin=0.05), 0.0)

    assert kept[0].kind == first
