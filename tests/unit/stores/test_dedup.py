"""Deduplication claims in Redis."""

import itertools
import random
from dataclasses import replace

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaption.connections.errors import Retry
from kaption.schemas import Position
from kaption.workers.local import Valkey
from support.near_race import dedup_at, flipped, looks, owner

pytestmark = pytest.mark.slow

_prefixes = itertools.count()


class Model:
    """Near claims in one thread, with a list of the kept hashes."""

    def __init__(self, distance: int) -> None:
        self.distance = distance
        self.kept: list[tuple[int, Position]] = []

    def claim(self, number: int, by: Position) -> Position:
        near = [
            holder for other, holder in self.kept if (number ^ other).bit_count() <= self.distance
        ]
        if near:
            return by if by in near else near[0]
        self.kept.append((number, by))
        return by


def test_the_first_claim_holds_at_every_repetition(dedup):
    # Given an image claimed by one origin
    sha256 = "ab" * 32
    assert dedup.claim_exact([sha256], [owner(1)]) == [owner(1)]

    # When another origin claims it, and both claim it again
    later = dedup.claim_exact([sha256, sha256, "cd" * 32], [owner(2), owner(1), owner(2)])

    # Then the first one holds it
    assert later == [owner(1), owner(1), owner(2)]


def test_looking_up_the_holder_of_an_image_claims_nothing(redis_url, dedup):
    # Given one claimed image
    dedup.claim_exact(["ab" * 32], [owner(1)])
    client = redis.Redis.from_url(redis_url)
    before = {key: client.dump(key) for key in client.scan_iter()}

    # When / Then
    assert dedup.holders(["cd" * 32, "ab" * 32]) == [None, owner(1)]
    assert {key: client.dump(key) for key in client.scan_iter()} == before


def test_hashes_in_the_same_bucket_are_distinct(dedup):
    # Given hashes equal in their bucket's bits and different in the field's
    sha256s = [f"{number:032x}" + "5" * 32 for number in range(600)]
    owners = [owner(number) for number in range(600)]

    # When / Then
    assert dedup.claim_exact(sha256s, owners) == owners
    assert dedup.claim_exact(sha256s, [owner(9999)] * 600) == owners


def test_an_invalid_sha256_is_an_error(dedup):
    with pytest.raises(ValueError, match="hexadecimal"):
        dedup.claim_exact(["zz" * 32], [owner(1)])


def test_empty_calls_return_empty_results(dedup):
    assert dedup.holders([]) == dedup.claim_exact([], []) == []
    assert dedup.claim_near([], []) == dedup.count_text([], [], 3) == []


def test_hashes_within_the_distance_are_near_and_others_are_not(dedup):
    # Given a kept hash, and hashes at every distance from it
    rng = random.Random(1)
    base = rng.getrandbits(64)
    assert dedup.claim_near([looks(base)], [owner(0)]) == [owner(0)]

    # When each is claimed, many times with different bits
    for trial, bits in itertools.product(range(30), range(1, 7)):
        near = flipped(base, bits, rng)
        assert dedup.claim_near([looks(near)], [owner(100 + trial)]) == [owner(0)], (
            bits,
            hex(near),
        )

    # Then a hash at distance 7 is another image
    far = flipped(base, 7, rng)
    assert dedup.claim_near([looks(far)], [owner(7)]) == [owner(7)]


def test_a_refused_claim_leaves_no_entry_and_stays_refused(redis_url, dedup):
    # Given a kept hash
    dedup.claim_near([looks(0)], [owner(1)])
    client = redis.Redis.from_url(redis_url)
    before = {key: client.dump(key) for key in client.scan_iter()}

    # When a near one is refused, twice
    answers = dedup.claim_near([looks(1), looks(1)], [owner(2), owner(2)])

    # Then the store is unchanged
    assert answers == [owner(1), owner(1)]
    assert {key: client.dump(key) for key in client.scan_iter()} == before


def test_a_refused_claim_always_names_the_same_owner(dedup):
    # Given a hash between two kept ones (each 6 away from it, 12 apart)
    left, middle, right = 0, 0x3F, 0xFFF
    assert dedup.claim_near([looks(left), looks(right)], [owner(1), owner(2)]) == [
        owner(1),
        owner(2),
    ]

    # When it is claimed before and after other hashes are kept
    first = dedup.claim_near([looks(middle)], [owner(3)])
    dedup.claim_near([looks(0xFF << 40), looks(0xFF << 20)], [owner(4), owner(5)])

    # Then the earliest one holds it each time
    assert first == dedup.claim_near([looks(middle)], [owner(3)]) == [owner(1)]


@pytest.mark.parametrize("number", [-1, 1 << 64])
def test_a_number_that_is_not_a_64_bit_hash_is_an_error(dedup, number):
    with pytest.raises(ValueError, match="unsigned 64-bit"):
        dedup.claim_near([looks(number)], [owner(1)])


near_hashes = st.tuples(
    st.sampled_from([0, 0xFFFF0000FFFF0000, 0x0123456789ABCDEF]),
    st.lists(st.integers(0, 63), max_size=10),
).map(lambda drawn: drawn[0] ^ sum(1 << bit for bit in set(drawn[1])))


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    distance=st.integers(0, 7),
    calls=st.lists(st.lists(near_hashes, min_size=1, max_size=8), max_size=8),
)
def test_near_claims_equal_those_of_a_simple_model(redis_url, distance, calls):
    # Given an empty store and a model
    dedup = dedup_at(redis_url, distance, f"p{next(_prefixes)}:")
    model = Model(distance)

    # When the same calls are made on both / Then the answers are equal, also at a repetition
    for call in calls:
        images = [looks(number) for number in call]
        owners = [owner(number % 9973) for number in call]
        expected = [model.claim(*item) for item in zip(call, owners, strict=True)]
        assert dedup.claim_near(images, owners) == expected
        assert dedup.claim_near(images, owners) == expected


def test_texts_are_counted_by_owner_up_to_the_limit(dedup):
    # Given one text used by five origins, with a limit of three
    first = dedup.count_text(["buy now"] * 5, [owner(number) for number in range(5)], 3)

    # When they are counted again, in another order
    again = dedup.count_text(["buy now"] * 5, [owner(number) for number in (4, 0, 3, 1, 2)], 3)

    # Then each has the same rank, and another text has its own count
    assert first == [1, 2, 3, 4, 4]
    assert again == [4, 1, 4, 2, 3]
    assert dedup.count_text(["a red chair"], [owner(9)], 3) == [1]


def test_a_record_that_comes_again_after_the_upgrade_counts_its_text_once(dedup):
    # Given owners of a text that an older version counted, without the topic's id
    older = [owner(number) for number in range(3)]
    assert dedup.count_text(["buy now"] * 3, older, 2) == [1, 2, 3]
    # When the same records come again
    same = [replace(each, topic_id="a" * 22) for each in older]
    # Then each keeps its rank, and a new text is counted by topic
    assert dedup.count_text(["buy now"] * 3, same, 2) == [1, 2, 3]
    others = [replace(older[0], topic_id=topic_id * 22) for topic_id in "aba"]
    assert dedup.count_text(["a red chair"] * 3, others, 5) == [1, 2, 1]


def test_the_owners_of_a_text_are_bounded(redis_url, dedup):
    # Given a text used far more often than its limit
    dedup.count_text(["buy now"] * 500, [owner(number) for number in range(500)], 10)

    # When / Then ten owners are remembered: one in the bucket, nine in a hash of the text
    client = redis.Redis.from_url(redis_url)
    assert sorted(client.hlen(key) for key in client.scan_iter()) == [1, 9]


def test_a_redis_that_is_down_raises_retry():
    # Given a server that was stopped
    with Valkey() as server:
        dedup = dedup_at(server.url)
        assert dedup.ready() is None
        server.kill9()

        # When / Then every call raises Retry
        for call in (
            lambda: dedup.holders(["ab" * 32]),
            lambda: dedup.claim_exact(["ab" * 32], [owner(1)]),
            lambda: dedup.claim_near([looks(1)], [owner(1)]),
            lambda: dedup.count_text(["text"], [owner(1)], 3),
        ):
            with pytest.raises(Retry):
                call()
        assert "Redis" in (dedup.ready() or "")


def test_a_redis_that_evicts_claims_is_not_ready():
    with Valkey() as server:
        redis.Redis.from_url(server.url).config_set("maxmemory-policy", "allkeys-lru")
        assert "noeviction" in (dedup_at(server.url).ready() or "")


def test_two_key_prefixes_on_one_server_are_separate(redis_url):
    one, other = dedup_at(redis_url, prefix="one:"), dedup_at(redis_url, prefix="other:")
    assert one.claim_near([looks(0)], [owner(1)]) == [owner(1)]
    assert other.claim_near([looks(0)], [owner(2)]) == [owner(2)]
    assert one.claim_exact(["ab" * 32], [owner(1)]) == [owner(1)]
    assert other.claim_exact(["ab" * 32], [owner(2)]) == [owner(2)]
