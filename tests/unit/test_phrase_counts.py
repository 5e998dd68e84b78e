"""Phrases that too many of the last captions hold, and what they cost."""

from typing import Any

import pytest
import redis

from kaption.schemas import Caption, CaptionKind
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.stages.select.homogeneity import Homogeneity, worn
from kaption.workers.stages.select.ranking import rank
from kaption.workers.stores.phrase_counts import CELLS, PhraseCounts


def counts(redis_url: str, window: int = 1000) -> PhraseCounts:
    return PhraseCounts(redis.Redis.from_url(redis_url), "t:", window)


def said(text: str, specificity: float = 0.2, kind: CaptionKind = CaptionKind.VLM) -> Caption:
    return Caption(text=text, kind=kind, score=0.5, specificity=specificity)


def test_the_share_is_that_of_the_captions_with_a_phrase(redis_url: str) -> None:
    # Given 200 captions, of which every second one has a phrase
    counts(redis_url).exchange([["a photo of"]] * 100 + [["in the sky"]] * 100, [])
    # When another replica asks
    found = counts(redis_url).exchange([], ["a photo of", "on a beach"])
    # Then it gets their share
    assert found == {"a photo of": pytest.approx(0.5), "on a beach": 0.0}


def test_few_captions_say_nothing(redis_url: str) -> None:
    assert counts(redis_url).exchange([["a photo of"]], ["a photo of"]) == {"a photo of": 0.01}


def test_replicas_add_to_one_count(redis_url: str) -> None:
    one, other = counts(redis_url), counts(redis_url)

    one.exchange([["a photo of"]] * 150, [])
    other.exchange([["in the sky"]] * 150, [])

    assert one.exchange([], ["in the sky"])["in the sky"] == pytest.approx(0.5)


def test_captions_before_the_window_are_forgotten_and_memory_is_bounded(redis_url: str) -> None:
    # Given a phrase of long ago, and many captions without it
    made = counts(redis_url, 400)
    made.exchange([["a photo of"]] * 200, [])
    for at in range(40):
        made.exchange([[f"phrase {at} {n} {part}" for part in range(60)] for n in range(20)], [])
    # When its share is asked for
    share = made.exchange([], ["a photo of"])["a photo of"]
    # Then it is gone, but for the counters it shares with others, and two generations are left
    client = redis.Redis.from_url(redis_url)
    held = [key for key in client.scan_iter("t:phrases:*") if not key.endswith(b"total")]
    assert share < 0.05
    assert len(held) == 2
    assert all(client.hlen(key) <= CELLS + 1 and client.ttl(key) > 0 for key in held)


def test_one_round_trip_serves_a_batch(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = counts(redis_url)
    made.exchange([], [])
    calls: list[None] = []
    real = redis.client.Pipeline.execute

    def counted(*given: Any) -> Any:
        calls.append(None)
        return real(*given)

    monkeypatch.setattr(redis.client.Pipeline, "execute", counted)
    monkeypatch.setattr(redis.Redis, "execute_command", lambda *_: pytest.fail("a round trip more"))

    made.exchange([["a photo of"]] * 5, ["a photo of", "in the sky"])

    assert len(calls) == 1


def test_of_near_equal_captions_the_less_worn_one_wins(redis_url: str) -> None:
    # Given a stream in which half of the kept captions begin alike
    homogeneity = Homogeneity(counts(redis_url))
    homogeneity.measured([])
    homogeneity.kept([said("this is a photo of a cat")] * 100)
    homogeneity.kept([said("two dogs run along the beach")] * 100)
    worn_out = said("this is a photo of a vase", 0.205)
    fresh = said("one blue vase stands beside a window", 0.2)
    # When two candidates are ranked that fit nearly as well
    (found,) = homogeneity.measured([[worn_out, fresh]])
    kept = rank(found, SelectPolicy(), 0.0)
    # Then the less worn one is first, none is refused, and the share is kept with each
    assert [each.text for each in kept] == [fresh.text, worn_out.text]
    assert [each.checks[-1].value for each in kept] == [0.0, pytest.approx(0.4)]
    assert all(each.checks[-1].passed for each in kept)


def test_a_worn_caption_that_fits_clearly_better_stays_first(redis_url: str) -> None:
    homogeneity = Homogeneity(counts(redis_url))
    homogeneity.measured([])
    homogeneity.kept([said("this is a photo of a cat")] * 200)

    given = [said("this is a photo of a cat", 0.4), said("one blue vase by a window", 0.2)]
    (found,) = homogeneity.measured([given])

    assert rank(found, SelectPolicy(), 0.0)[0].text == "this is a photo of a cat"


def test_texts_of_people_are_not_counted_and_cost_nothing(redis_url: str) -> None:
    homogeneity = Homogeneity(counts(redis_url))
    homogeneity.measured([])
    original = said("this is a photo of a cat", kind=CaptionKind.ORIGINAL)
    homogeneity.kept([original] * 300)

    (found,) = homogeneity.measured([[original, said("this is a photo of a cat")]])

    assert [worn(each) for each in found] == [0.0, 0.0]
