"""Near claims of sets that have outgrown their first leaves."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from bench.filled import fill_near, likeness_of, owner_of
from kaption.schemas import Position
from kaption.workers.stores.footprint import Footprint
from kaption.workers.stores.near import LEAF, LONGEST
from support.near_race import dedup_at, leaves, looks, owner

pytestmark = pytest.mark.slow

KEPT = 3000
TREES = range(1, 5)


def different(*_: str) -> bool:
    return False


def test_images_keep_their_claims_and_copies_are_found_while_leaves_are_divided(redis_url, dedup):
    # Given thousands of kept images, of which some look alike as photographs do
    images = [likeness_of(number) for number in range(KEPT)]
    owners = [owner(number) for number in range(KEPT)]
    assert dedup.claim_near(images, owners, different) == owners

    # When another process claims for the same origins, and copies for others
    other = dedup_at(redis_url, distance=16)
    again = other.claim_near(images[::-1], owners[::-1], different)
    copies = [likeness_of(number, copied=True) for number in range(0, KEPT, 10)]
    truth = dict(zip([copy.sha256 for copy in copies], range(0, KEPT, 10), strict=True))
    held = other.claim_near(
        copies, [owner(9999)] * len(copies), lambda one, two: images[truth[one]].sha256 == two
    )

    # Then each has its claim, copies are refused, and the leaves of each tree hold every image
    assert again == owners[::-1]
    assert sum(holder.offset == at for holder, at in zip(held, truth.values(), strict=True)) >= 297
    for tree in TREES:
        sizes = [len(entries) // 16 for entries in leaves(redis_url, tree)]
        assert sum(sizes) == KEPT + held.count(owner(9999))
        assert max(sizes) <= LEAF


def test_a_takedown_removes_every_trace_of_images_from_divided_leaves(redis_url, dedup):
    images = [likeness_of(number) for number in range(500)]
    owners = [owner(number) for number in range(500)]
    dedup.claim_near(images, owners, different)
    gone = [
        Footprint(owner=str(by), perceptual_hash=image.hash)
        for image, by in zip(images[::2], owners[::2], strict=True)
    ]

    assert [dedup.forget(gone, dry_run=dry) for dry in (True, False, False)] == [250, 250, 0]

    assert {sum(map(len, leaves(redis_url, tree))) for tree in TREES} == {16 * 250}
    assert dedup.claim_near(images[1::2], owners[1::2], different) == owners[1::2]


def test_every_image_of_one_hash_keeps_its_claim_however_many_there_are(redis_url, dedup):
    # Given more different images with one hash than a look reads, among others
    rng = random.Random(4)
    others = [rng.getrandbits(64) for _ in range(200)]
    dedup.claim_near([looks(each) for each in others], [owner(n) for n in range(5000, 5200)])
    many = [looks(0x5A5A << 24, sketch=number) for number in range(2 * LONGEST)]
    owners = [owner(number) for number in range(2 * LONGEST)]
    assert dedup.claim_near(many, owners) == owners

    # When they come again, in another order and to another worker / Then each has its claim still
    assert dedup_at(redis_url).claim_near(many[::-1], owners[::-1]) == owners[::-1]
    assert {max(map(len, leaves(redis_url, tree))) for tree in TREES} == {16 * len(many)}


def test_a_worker_that_expects_other_leaves_finds_the_same(redis_url, dedup):
    # Given kept images
    images = [likeness_of(number) for number in range(600)]
    owners = [owner(number) for number in range(600)]
    dedup.claim_near(images, owners, different)

    # When workers look that expect the leaves above or below their places / Then nothing is missed
    for depth in (0, 1, 9, 31):
        worker = dedup_at(redis_url, distance=16)
        worker._near._depth = depth
        assert worker.claim_near(images[:64], owners[:64], different) == owners[:64]
        new = looks(random.Random(depth).getrandbits(64))
        assert worker.claim_near([new], [owner(7000 + depth)]) == [owner(7000 + depth)]
    assert {sum(map(len, leaves(redis_url, tree))) for tree in TREES} == {16 * 604}


def test_a_set_that_the_benchmark_fills_is_one_that_claims_would_leave(redis_url, dedup):
    # Given images that were claimed
    images, owners = [likeness_of(n) for n in range(700)], [owner_of(n) for n in range(700)]
    dedup.claim_near(images, owners, different)
    client = redis.Redis.from_url(redis_url)
    claimed = {key: client.dump(key) for key in client.scan_iter(match="*near3:[1-4]*")}
    client.flushdb()

    # When the benchmark keeps the same ones / Then the trees are the same
    fill_near(client, dedup, 700)
    assert {key: client.dump(key) for key in client.scan_iter(match="*near3:[1-4]*")} == claimed


def test_the_calls_of_a_claim_do_not_follow_the_images_that_are_like_it(redis_url, dedup):
    # Given different images with one hash, and a client that counts commands
    count = LEAF - 2  # in leaves that need not be divided
    kept = [looks(0, sketch=number) for number in range(count)]
    dedup.claim_near(kept, [owner(number) for number in range(count)])
    client = redis.Redis.from_url(redis_url)

    def calls() -> int:
        found = client.info("commandstats")
        return sum(each["calls"] for name, each in found.items() if name.startswith("cmdstat"))

    # When one more is compared with all of them
    before = calls()
    assert dedup.claim_near([looks(0, sketch=200)], [owner(200)]) == [owner(200)]

    # Then fewer commands ran than images were read
    assert calls() - before < count


def test_workers_that_race_while_leaves_are_divided_agree(redis_url):
    # Given four workers with the same images, each in its own order and for its own records
    def claim(worker: int) -> dict[int, Position]:
        numbers = random.Random(worker).sample(range(400), 400)
        dedup, held = dedup_at(redis_url, distance=16), dict[int, Position]()
        for start in range(0, 400, 25):
            part = numbers[start : start + 25]
            images = [likeness_of(number) for number in part]
            owners = [owner(1000 * worker + number) for number in part]
            held |= dict(zip(part, dedup.claim_near(images, owners, different), strict=True))
        return held

    # When they claim at once / Then all name one holder for each image, and again later
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(claim, range(4)))
    assert answers[0] == answers[1] == answers[2] == answers[3]
    assert {by.offset % 1000 for by in answers[0].values()} == set(range(400))
    assert claim(2) == answers[0]
    assert {sum(map(len, leaves(redis_url, tree))) for tree in TREES} == {16 * 400}
