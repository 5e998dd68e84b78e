"""The audit sample: a share of all pairs, and enough of rare ones."""

import random
from collections import Counter

import pytest
import redis

from kaption.schemas import Caption, CaptionKind, CleanPair
from kaption.workers.stages.select.sample import AuditSample
from kaption.workers.stores.strata import Strata, band_of
from support.training_samples import clean_pair


def found(number: int, source: str, language: str = "en", score: float = 0.3) -> CleanPair:
    caption = Caption(text="a dog on the grass", kind=CaptionKind.VLM, score=score)
    named = {"pair_id": f"pair-{number}", "source": source, "detected_language": language}
    return clean_pair(number, caption, **named)


def sampled(url: str, pairs: list[CleanPair], fraction: float = 0.05) -> list[CleanPair]:
    sample = AuditSample(fraction, Strata(redis.Redis.from_url(url), "t:"))
    chosen = [hit for at in range(0, len(pairs), 64) for hit in sample.of(pairs[at : at + 64])]
    return [pair for pair, hit in zip(pairs, chosen, strict=True) if hit]


def test_a_share_is_sampled_and_the_same_pairs_again_at_a_replay(redis_url: str) -> None:
    pairs = [found(number, "crawl") for number in range(4000)]

    first = sampled(redis_url, pairs)
    again = sampled(redis_url, pairs)

    assert 0.045 * 4000 < len(first) < 0.07 * 4000
    assert {pair.pair_id for pair in again} <= {pair.pair_id for pair in first}
    assert len(again) > 0.8 * 0.05 * 4000


def test_rare_strata_are_sampled_more_and_all_pairs_at_most_twice(redis_url: str) -> None:
    rare = {"small": "en", "crawl": "is"}
    pairs = [found(number, "crawl") for number in range(4000)]
    pairs += [found(5000 + n, source, rare[source]) for source in rare for n in range(12)]
    random.Random(1).shuffle(pairs)

    counts = Counter((p.source, p.detected_language) for p in sampled(redis_url, pairs))

    assert counts["small", "en"] >= 9
    assert counts["crawl", "is"] >= 9
    assert 0.05 * 4000 * 0.9 < counts.total() < 0.1 * 4000


@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.1, 1.0])
def test_a_source_for_each_page_samples_no_more_than_twice_the_share(
    redis_url: str, fraction: float
) -> None:
    pairs = [found(number, f"page-{number}") for number in range(2000)]

    share = len(sampled(redis_url, pairs, fraction)) / 2000

    assert fraction * 0.8 <= share <= min(1, 2 * fraction) * 1.2


@pytest.mark.parametrize(
    ("score", "band"),
    [(0.3, "0.30"), (0.2999, "0.25"), (-0.01, "-0.05"), (None, ""), (0.15, "0.15")],
)
def test_bands_of_scores(score: float | None, band: str) -> None:
    assert band_of(score) == band
