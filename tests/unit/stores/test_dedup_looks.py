"""Images with one hash that look different."""

from dataclasses import replace

import pytest
import redis

from bench.filled import likeness_of
from kaption.connections.errors import Retry
from kaption.workers.stores import near as redis_near
from support.near_race import dedup_at, looks, owner

pytestmark = pytest.mark.slow


def test_images_with_one_hash_that_look_different_are_both_kept(redis_url, dedup):
    # Given two different images with near hashes, in one call
    images = [looks(0, sketch=1), looks(1, sketch=2), looks(2, sketch=2)]
    owners = [owner(1), owner(2), owner(3)]

    # When / Then only the copy is refused, at every repetition and in another call too
    assert dedup.claim_near(images, owners) == [owner(1), owner(2), owner(2)]
    assert dedup.claim_near(images, owners) == [owner(1), owner(2), owner(2)]
    assert dedup.claim_near([looks(1, sketch=3)], [owner(4)]) == [owner(4)]


def test_of_many_copies_in_one_call_only_the_first_is_kept(redis_url):
    # Given an image, and more copies of it than are compared, which are nearer to each other
    copy = likeness_of(5, copied=True)
    copies = [replace(copy, sha256=f"{number:064x}") for number in range(redis_near.JUDGED + 2)]
    owners = [owner(number) for number in range(1 + len(copies))]

    # When they come at once / Then all have one holder
    dedup = dedup_at(redis_url, distance=16)
    held = dedup.claim_near([likeness_of(5), *copies], owners, lambda *_: True)
    assert held == [owner(0)] * len(owners)


def test_an_owner_keeps_its_image_although_many_others_have_its_hash(dedup, monkeypatch):
    # Given more images with one hash than a look judges
    monkeypatch.setattr(redis_near, "CANDIDATES", 5)
    images = [looks(0, sketch=number) for number in range(30)]
    owners = [owner(number) for number in range(30)]
    assert dedup.claim_near(images, owners) == owners

    # When / Then each finds itself at a redelivery
    assert dedup.claim_near(images[::-1], owners[::-1]) == owners[::-1]


def test_the_images_themselves_decide_and_sketches_only_where_they_are_gone(dedup):
    # Given three kept images with equal sketches, of which only the first shows what is claimed
    kept = [replace(looks(0), sha256=f"{number:064x}") for number in (1, 2, 3)]

    def different(*_):
        return False

    assert dedup.claim_near(kept, [owner(1), owner(2), owner(3)], different) == [
        owner(1),
        owner(2),
        owner(3),
    ]
    new = replace(looks(0), sha256=f"{9:064x}")

    # When / Then the claim is refused for the image that it shows
    asked = []

    def second(one, other):
        asked.append((int(one, 16), int(other, 16)))
        return int(other, 16) == 2

    assert dedup.claim_near([new], [owner(9)], second) == [owner(2)]
    assert asked == [(9, 1), (9, 2)]

    # And for the earliest with an equal sketch where no image can be read
    assert dedup.claim_near([new], [owner(9)], lambda *_: None) == [owner(1)]
    assert dedup.claim_near([new], [owner(9)], different) == [owner(9)]


def test_no_more_than_the_nearest_few_are_compared(dedup):
    # Given twenty different images with equal hashes and sketches
    images = [replace(looks(0), sha256=f"{number:064x}") for number in range(20)]
    owners = [owner(number) for number in range(20)]
    asked = []

    def different(one, other):
        asked.append(other)
        return False

    # When / Then
    assert dedup.claim_near(images, owners, different) == owners
    asked.clear()
    dedup.claim_near([replace(looks(0), sha256="ab" * 32)], [owner(99)], different)
    assert len(asked) == redis_near.JUDGED


def test_an_image_whose_store_is_away_is_not_claimed(redis_url, dedup):
    # Given a kept image, and a copy of it whose comparison needs a store that is away
    dedup.claim_near([looks(0)], [owner(1)])
    client = redis.Redis.from_url(redis_url)
    before = {key: client.dump(key) for key in client.scan_iter()}

    def away(*_):
        raise Retry("the store is away")

    # When / Then nothing is guessed
    with pytest.raises(Retry, match="the store is away"):
        dedup.claim_near([replace(looks(1), sha256="ab" * 32)], [owner(2)], away)
    assert {key: client.dump(key) for key in client.scan_iter()} == before
