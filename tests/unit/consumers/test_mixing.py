from collections import Counter

import pytest

from kaption.consumers.stream import draw
from kaption.consumers.training.mixing import Among, CaptionMixing
from kaption.schemas import Caption, CaptionKind, CleanPair
from support.training_samples import clean_pair

pytestmark = pytest.mark.slow

ORIGINAL = Caption(text="img 12", kind=CaptionKind.ORIGINAL, fitted_text="img")
BEST, GOOD, FAIR = (Caption(text=text, kind=CaptionKind.VLM) for text in ("best", "good", "fair"))


def text(mixing: CaptionMixing, pair: CleanPair, epoch: int) -> str:
    return mixing.text_of(mixing.caption(pair, epoch))


def texts(
    mixing: CaptionMixing, *captions: Caption, count: int = 2000, epoch: int = 0
) -> Counter[str]:
    pairs = [clean_pair(number, *captions) for number in range(count)]
    return Counter(text(mixing, pair, epoch) for pair in pairs)


@pytest.mark.parametrize("probability", [0.0, 0.5, 0.8, 1.0])
def test_recaptions_come_with_the_given_probability(probability: float) -> None:
    found = texts(CaptionMixing(seed=7, recaption=probability), BEST, ORIGINAL)

    assert found["best"] / 2000 == pytest.approx(probability, abs=0.03)
    assert found["best"] + found["img"] == 2000


def test_the_default_is_the_published_ratio() -> None:
    assert CaptionMixing().recaption == 0.8


def test_a_choice_depends_on_seed_epoch_and_pair_alone() -> None:
    pairs = [clean_pair(number, BEST, GOOD, ORIGINAL) for number in range(200)]

    def chosen(seed: int, epoch: int, order: int = 1) -> list[str]:
        found = {p.pair_id: text(CaptionMixing(seed), p, epoch) for p in pairs[::order]}
        return [found[pair.pair_id] for pair in pairs]

    assert chosen(1, 0) == chosen(1, 0, order=-1)
    assert len({tuple(chosen(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4


def test_over_the_epochs_a_pair_shows_each_of_its_texts() -> None:
    pair = clean_pair(3, BEST, GOOD, ORIGINAL)

    seen = Counter(text(CaptionMixing(), pair, epoch) for epoch in range(1000))

    assert seen["img"] / 1000 == pytest.approx(0.2, abs=0.05)
    assert seen["best"] / 1000 == pytest.approx(0.4, abs=0.05)


def test_a_pair_with_only_recaptions_or_only_the_original_gives_that() -> None:
    only_original = texts(CaptionMixing(recaption=1.0), ORIGINAL, count=20)
    only_recaptions = texts(CaptionMixing(recaption=0.0), BEST, count=20)

    assert only_original == {"img": 20}
    assert only_recaptions == {"best": 20}


def test_recaptions_are_chosen_uniformly_or_by_rank() -> None:
    alike = texts(CaptionMixing(recaption=1.0), BEST, GOOD, FAIR)
    by_rank = texts(CaptionMixing(recaption=1.0, among=Among.RANK), BEST, GOOD, FAIR)

    for name, even, ranked in [("best", 1, 6), ("good", 1, 3), ("fair", 1, 2)]:
        assert alike[name] / 2000 == pytest.approx(even / 3, abs=0.04)
        assert by_rank[name] / 2000 == pytest.approx(ranked / 11, abs=0.04)


def test_the_fitted_text_is_used_unless_fitted_is_false() -> None:
    pair = clean_pair(1, ORIGINAL)

    assert text(CaptionMixing(), pair, 0) == "img"
    assert text(CaptionMixing(fitted=False), pair, 0) == "img 12"


@pytest.mark.parametrize(
    ("least", "score", "expected"),
    [
        (None, 0.9, "best"),
        (0.3, None, "best"),
        (0.3, 0.29, "best"),
        (0.3, 0.3, "alt text 1"),
    ],
)
def test_alt_text_that_selection_left_out_is_used_only_from_the_minimum_score(
    least: float | None, score: float | None, expected: str
) -> None:
    pair = clean_pair(1, BEST, original_score=score)

    assert text(CaptionMixing(recaption=0.0, original_min_score=least), pair, 0) == expected


def test_a_ratio_that_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0 to 1; got 80"):
        CaptionMixing(recaption=80)


def test_draws_are_uniform_and_differ_for_different_names() -> None:
    drawn = [draw(0, "flip", number) for number in range(4000)]

    tenths = Counter(int(number * 10) for number in drawn)
    assert all(tenths[tenth] == pytest.approx(400, abs=80) for tenth in range(10))
    assert draw(0, "a", "bc") != draw(0, "ab", "c") != draw(0, "abc")
    assert draw(0, "1") != draw(0, 1)
