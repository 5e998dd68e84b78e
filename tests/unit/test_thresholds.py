"""Thresholds that set themselves: the estimate, the warm-up, hysteresis and what is recorded."""

from collections import Counter
from dataclasses import dataclass
from typing import cast

import numpy as np
import pytest
import redis

from kaption.schemas import Position
from kaption.workers.models.scorer import Scorer
from kaption.workers.policy.score import ThresholdPolicy
from kaption.workers.stages.mixture import estimate
from kaption.workers.stages.thresholds import OTHERS, THRESHOLD, ShownImage, Shuffles, Thresholds
from kaption.workers.stores.cosines import Cell, Cosines, CosineSample, CosineStore, bin_of
from support.logs import logged

POLICY = ThresholdPolicy()
RNG = np.random.default_rng(7)
EN, SHOP = Cell("en"), Cell("en", "shop")


@dataclass
class Named:
    """What `Thresholds` needs to know of a scorer."""

    recommended_score: float | None = 0.42
    revision: str = "r"
    preprocessing_id: str = "p"


def cosines(noise: float, right: float, wrong: float = 0.1, count: int = 2000) -> list[float]:
    """Of matched pairs, a share of which is wrong."""
    bad = round(count * noise)
    drawn = [*RNG.normal(wrong, 0.04, bad), *RNG.normal(right, 0.04, count - bad)]
    return [float(each) for each in RNG.permutation(drawn)]


def samples(
    matched: list[float], cell: Cell, first: int = 0, wrong: float = 0.1
) -> list[CosineSample]:
    others = RNG.normal(wrong, 0.04, (len(matched), 8)).tolist()
    return [
        CosineSample(cell, Position("pairs.ingested", 0, first + at), own, more)
        for at, (own, more) in enumerate(zip(matched, others, strict=True))
    ]


def made(redis_url: str, scorer: Named | None = None, stage: str = "score") -> Thresholds:
    store = CosineStore(redis.Redis.from_url(redis_url), "t:")
    return Thresholds(stage, store, cast(Scorer, scorer or Named()), POLICY)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3, 0.6, 0.8])
@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_at_most_the_target_of_right_pairs_is_refused(noise: float, scale: float) -> None:
    # Given cosines of a scorer, and of one whose cosines all lie close together
    own = [scale * each for each in cosines(noise, right=0.24)]
    others = scale * RNG.normal(0.1, 0.04, 20_000)
    counts = Cosines(Counter(map(bin_of, own)), Counter(map(bin_of, others)))
    # When the threshold is estimated
    found = estimate(counts, POLICY)
    # Then two in a hundred right pairs are below it, and nearly all wrong ones
    assert (scale * RNG.normal(0.24, 0.04, 20_000) < found).mean() <= 0.03
    assert (others < found).mean() >= 0.9


@pytest.mark.parametrize("right", [0.1, 0.11, 0.0])
def test_where_right_and_wrong_look_alike_the_floor_holds(right: float) -> None:
    others = RNG.normal(0.1, 0.04, 20_000)
    own = cosines(0.5, right)
    counts = Cosines(Counter(map(bin_of, own)), Counter(map(bin_of, others)))

    assert (others >= estimate(counts, POLICY)).mean() <= 0.105


def test_a_threshold_refuses_no_more_than_it_is_good_for() -> None:
    # Given right pairs far away from all wrong ones
    own = cosines(0.3, right=0.8)
    others = RNG.normal(0.1, 0.04, 20_000)
    counts = Cosines(Counter(map(bin_of, own)), Counter(map(bin_of, others)))

    assert 0.2 < estimate(counts, POLICY) < 0.3


def test_the_recommended_score_holds_until_enough_texts_were_seen(redis_url: str) -> None:
    made_here = made(redis_url)
    made_here.learn(samples(cosines(0.3, 0.3, count=900), SHOP))

    assert made_here.of([SHOP]) == [0.42]


def test_without_a_recommended_score_the_floor_of_shuffled_pairs_holds(redis_url: str) -> None:
    # Given a scorer for which nobody has set a number
    thresholds = made(redis_url, Named(recommended_score=None))
    assert thresholds.of([SHOP]) == [None]
    # When one batch was seen
    thresholds.learn(batch := samples(cosines(0.3, 0.3, count=64), SHOP))
    # Then a tenth of the shuffled pairs is above the threshold
    (found,) = thresholds.of([SHOP])
    assert found == pytest.approx(
        np.quantile([c for each in batch for c in each.shuffled], 0.9), abs=0.01
    )


def test_a_cell_with_too_few_texts_has_the_threshold_of_its_language(redis_url: str) -> None:
    thresholds = made(redis_url)
    thresholds.learn(samples(cosines(0.3, 0.3), SHOP))
    german = samples(cosines(0.3, 0.2, wrong=0.02), Cell("de", "shop"), 5000, wrong=0.02)
    thresholds.learn(german)

    shop, news, de, other = thresholds.of([SHOP, Cell("en", "news"), Cell("de"), Cell("fr")])

    assert shop == news
    assert de is not None
    assert shop is not None
    assert de < shop - 0.05
    assert other not in (None, 0.42)  # that of all texts


def test_replicas_and_stages_hold_the_same_threshold_through_small_changes(redis_url: str) -> None:
    # Given a threshold that one replica has set
    first = made(redis_url)
    first.learn(samples(cosines(0.3, 0.25), SHOP))
    (before,) = first.of([SHOP])
    # When more texts of the same kind come, and others read the cell
    first.learn(samples(cosines(0.3, 0.25), SHOP, 5000))
    late = made(redis_url), made(redis_url, stage="select")
    # Then all have the same
    assert [each.of([SHOP]) for each in late] == [[before], [before]]


def test_a_change_is_logged_once_and_shown_as_a_metric(redis_url: str) -> None:
    thresholds = made(redis_url)
    thresholds.learn(samples(cosines(0.3, 0.25), SHOP))
    with logged() as lines:
        found = [thresholds.of([SHOP] * 64) for _ in range(40)]
        made(redis_url).of([SHOP])
    told = [line for line in lines if line["event"] == "threshold changed"]
    assert {(line["language"], line["source"]) for line in told} == {SHOP, EN, Cell()}
    assert len(told) == 3
    assert THRESHOLD.labels("score", *SHOP)._value.get() == found[0][0]


def test_a_text_is_put_to_no_image_with_the_same_text_nor_to_its_own() -> None:
    # Given a batch with a repeated text and a repeated image, each image with a row of its own
    rows = np.eye(4, dtype=np.float32)
    texts, images = ["a cup", "a cup", "a hat", "a dog"], ["1", "2", "3", "3"]
    batch = [ShownImage(*each) for each in zip(images, texts, rows, strict=True)]
    # When each text is put to the others, with a vector that names the row
    vector = np.array([1, 2, 3, 4], np.float32)
    found = Shuffles().cosines(batch, [(at, vector) for at in range(4)])
    # Then those rows are left out
    assert [sorted(each) for each in found] == [[3, 4], [3, 4], [1, 2], [1, 2]]


def test_a_batch_of_one_is_put_to_the_last_images() -> None:
    shuffles = Shuffles()
    for at in range(40):
        row = np.full(4, at, np.float32)
        (found,) = shuffles.cosines(
            [ShownImage(str(at), str(at), row)], [(0, np.ones(4, np.float32))]
        )
        assert len(found) == min(at, OTHERS)
