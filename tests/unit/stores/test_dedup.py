"""Deduplication claims in Redis."""

import itertools
import multiprocessing
import random
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaption.connections.errors import Retry
from kaption.schemas import Position
from kaption.workers.local import Valkey
from kaption.workers.stores import near as redis_near
from kaption.workers.stores.dedup import Dedup
from kaption.workers.stores.footprint import Footprint
from support.near_race import claim_all, claims_of, dedup_at, flipped, looks, owner

pytestmark = pytest.mark.slow

_prefixes = itertools.count()


@pytest.fixture
def dedup(redis_url) -> Dedup:
    return dedup_at(redis_url)


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


# Exact


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


# Near


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


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
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


def check_race(url: str, answers: list[list[Position]]) -> None:
    claims = [claim for seed in range(len(answers)) for claim in claims_of(seed)]
    holders = [holder for answer in answers for holder in answer]
    hash_of = {by: number for number, by in claims}
    kept = {by for (_, by), holder in zip(claims, holders, strict=True) if holder == by}
    # nothing kept lies near another one, and whoever was refused lies near a kept one
    for one, other in itertools.combinations(kept, 2):
        assert (hash_of[one] ^ hash_of[other]).bit_count() > 6
    for (number, _), holder in zip(claims, holders, strict=True):
        assert holder in kept
        assert (number ^ hash_of[holder]).bit_count() <= 6
    # and everybody gets the same answer again, in whatever order they ask
    assert [claim_all(url, seed) for seed in reversed(range(len(answers)))][::-1] == answers


def test_threads_that_race_agree(redis_url):
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(claim_all, [redis_url] * 8, range(8)))
    check_race(redis_url, answers)


def test_processes_that_race_agree(redis_url):
    with multiprocessing.get_context("spawn").Pool(4) as processes:
        answers = processes.starmap(claim_all, [(redis_url, seed) for seed in range(4)])
    check_race(redis_url, answers)


def test_a_worker_that_dies_between_look_and_claim_leaves_the_field_to_others(dedup, monkeypatch):
    # Given a worker that looked, found nothing and died
    near = dedup._near
    monkeypatch.setattr(near, "_keep_free", lambda seen, free: (_ for _ in ()).throw(KeyError))
    with pytest.raises(KeyError):
        dedup.claim_near([looks(0)], [owner(1)])
    monkeypatch.undo()

    # When others claim meanwhile, and its record is delivered again
    others = dedup.claim_near([looks(1), looks(2)], [owner(2), owner(3)])
    again = dedup.claim_near([looks(0), looks(0)], [owner(1), owner(1)])

    # Then all of them have the same holder, at every repetition
    assert others == again == [owner(2), owner(2)]


def test_a_claim_whose_answer_was_lost_is_still_its_own(dedup, monkeypatch):
    # Given a claim that reached the server but whose answer did not come back
    near, keep = dedup._near, dedup._near._keep

    def lossy(**call):
        keep(**call)
        return keep(**call)  # what redis-py does after a lost connection

    monkeypatch.setattr(near, "_keep", lossy)

    # When / Then
    assert dedup.claim_near([looks(5)], [owner(1)]) == [owner(1)]
    assert dedup.claim_near([looks(5)], [owner(2)]) == [owner(1)]


def test_a_look_that_grew_too_old_is_repeated(dedup, monkeypatch):
    # Given another worker that keeps more entries between our look and our claim than are listed
    monkeypatch.setattr(redis_near, "RECENT", 8)
    near, real = dedup._near, dedup._near._keep_free
    rng = random.Random(3)

    def overtaken(seen, free):
        monkeypatch.setattr(near, "_keep_free", real)
        others = [1, *(rng.getrandbits(64) for _ in range(30))]
        dedup.claim_near(
            [looks(other) for other in others], [owner(100 + number) for number in range(31)]
        )
        return real(seen, free)

    monkeypatch.setattr(near, "_keep_free", overtaken)

    # When / Then the claim still sees them
    assert dedup.claim_near([looks(0)], [owner(1)]) == [owner(100)]


def test_one_overtaken_by_a_few_entries_sees_them(dedup, monkeypatch):
    # Given another worker's near claim between our look and our claim
    near, real = dedup._near, dedup._near._keep_free

    def overtaken(seen, free):
        monkeypatch.setattr(near, "_keep_free", real)
        dedup.claim_near([looks(3)], [owner(2)])
        return real(seen, free)

    monkeypatch.setattr(near, "_keep_free", overtaken)

    # When / Then
    assert dedup.claim_near(
        [looks(0), looks(1 << 50), looks(0x7F << 8)], [owner(1), owner(3), owner(4)]
    ) == [
        owner(2),
        owner(2),
        owner(4),
    ]


def test_images_with_one_hash_that_look_different_are_both_kept(redis_url, dedup):
    # Given two different images with near hashes, in one call
    images = [looks(0, sketch=1), looks(1, sketch=2), looks(2, sketch=2)]
    owners = [owner(1), owner(2), owner(3)]

    # When / Then only the copy is refused, at every repetition and in another call too
    assert dedup.claim_near(images, owners) == [owner(1), owner(2), owner(2)]
    assert dedup.claim_near(images, owners) == [owner(1), owner(2), owner(2)]
    assert dedup.claim_near([looks(1, sketch=3)], [owner(4)]) == [owner(4)]


def test_an_owner_keeps_its_image_although_many_others_have_its_hash(dedup, monkeypatch):
    # Given more images with one hash than a look judges
    monkeypatch.setattr(redis_near, "CANDIDATES", 5)
    images = [looks(0, sketch=number) for number in range(30)]
    owners = [owner(number) for number in range(30)]
    assert dedup.claim_near(images, owners) == owners

    # When / Then each finds itself at a redelivery
    assert dedup.claim_near(images[::-1], owners[::-1]) == owners[::-1]


def test_different_images_that_race_with_one_hash_are_all_kept(redis_url):
    # Given four workers that claim different images with near hashes
    def claim(worker: int) -> list[Position]:
        images = [looks(number % 4, sketch=100 * worker + number) for number in range(12)]
        owners = [owner(100 * worker + number) for number in range(12)]
        claimed = dedup_at(redis_url).claim_near(images, owners)
        assert claimed == owners
        return claimed

    # When / Then
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(claim, range(4)))) == 4


# Texts


def test_texts_are_counted_by_owner_up_to_the_limit(dedup):
    # Given one text used by five origins, with a limit of three
    first = dedup.count_text(["buy now"] * 5, [owner(number) for number in range(5)], 3)

    # When they are counted again, in another order
    again = dedup.count_text(["buy now"] * 5, [owner(number) for number in (4, 0, 3, 1, 2)], 3)

    # Then each has the same rank, and another text has its own count
    assert first == [1, 2, 3, 4, 4]
    assert again == [4, 1, 4, 2, 3]
    assert dedup.count_text(["a red chair"], [owner(9)], 3) == [1]


def test_the_owners_of_a_text_are_bounded(redis_url, dedup):
    # Given a text used far more often than its limit
    dedup.count_text(["buy now"] * 500, [owner(number) for number in range(500)], 10)

    # When / Then ten owners are remembered: one in the bucket, nine in a hash of the text
    client = redis.Redis.from_url(redis_url)
    assert sorted(client.hlen(key) for key in client.scan_iter()) == [1, 9]


# The store itself


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


# Takedowns


def claimed(dedup: Dedup, number: int, near: int, text: str, sha256: str) -> Footprint:
    """Make every claim that an origin can make. Returns its footprint."""
    dedup.claim_exact([sha256], [owner(number)])
    dedup.claim_near([looks(near)], [owner(number)])
    dedup.count_text([text.casefold()], [owner(number)], 5)
    return Footprint(
        owner=str(owner(number)), original_sha256=sha256, perceptual_hash=near, clean_text=text
    )


def test_a_takedown_removes_an_owners_claims_and_no_others(redis_url, dedup):
    # Given claims of two origins that share bands of their hashes and a text
    one, other = 0x0001_0002_0003_FFFF, 0x0001_0002_FFFC_0000
    claimed(dedup, 1, other, "A text", "cd" * 32)
    client = redis.Redis.from_url(redis_url)
    before = {key: client.dump(key) for key in client.scan_iter()}
    footprint = claimed(dedup, 2, one, "A text", "ab" * 32)

    # When the claims of the second one are counted, removed and removed again
    found = [dedup.forget([footprint], dry_run=dry) for dry in (True, False, False)]

    # Then everything is as before, except for the sequence number
    assert found == [3, 3, 0]
    after = {key: client.dump(key) for key in client.scan_iter()}
    assert {key for key in after if after[key] != before.get(key)} == {b"{kaption:}near:sequence"}
    assert after.keys() == before.keys()


def test_a_removed_claim_can_be_made_again(dedup):
    footprint = claimed(dedup, 1, 0, "A text", "ab" * 32)
    dedup.count_text(["a text"], [owner(2)], 5)

    dedup.forget([footprint])

    assert dedup.claim_exact(["ab" * 32], [owner(3)]) == [owner(3)]
    assert dedup.claim_near([looks(1)], [owner(3)]) == [owner(3)]
    assert dedup.claim_near([looks(0)], [owner(4)]) == [owner(3)]
    assert dedup.count_text(["a text"] * 2, [owner(2), owner(3)], 5) == [2, 1]


def test_a_claim_that_another_owner_made_since_stays(dedup):
    # Given claims that were removed and then made by another origin
    footprint = claimed(dedup, 1, 0, "A text", "ab" * 32)
    dedup.forget([footprint])
    claimed(dedup, 2, 0, "A text", "ab" * 32)

    # When / Then the first owner cannot remove them, but an image is removed whoever holds it
    assert dedup.forget([footprint]) == 0
    assert dedup.holders(["ab" * 32]) == [owner(2)]
    assert dedup.forget([Footprint(original_sha256="ab" * 32)]) == 1
    assert dedup.holders(["ab" * 32]) == [None]


def test_claims_that_race_with_a_takedown_are_kept_or_raise_retry(redis_url):
    # Given four workers that claim near hashes while a fifth removes them
    hashes = [flipped(0, bits, random.Random(bits)) for bits in range(1, 7)] * 50

    def claim(worker: int) -> list[Position]:
        dedup, holders = dedup_at(redis_url), []
        for number, value in enumerate(hashes):
            try:
                holders += dedup.claim_near([looks(value)], [owner(1000 * worker + number)])
            except Retry:
                continue
            footprint = Footprint(owner=str(holders[-1]), perceptual_hash=value)
            dedup.forget([footprint])
        return holders

    # When
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(claim, range(4)))

    # Then each kept entry is complete: it is in its four bands and has its owner
    client = redis.Redis.from_url(redis_url)
    bands = [
        sorted(
            entries[at : at + 16]
            for key in client.scan_iter(match=f"*near:{band}:*")
            for entries in cast("list[bytes]", client.mget(key))
            for at in range(0, len(entries), 16)
        )
        for band in range(1, 5)
    ]
    owners = sum(client.hlen(key) for key in client.scan_iter(match="*near:owner:*"))
    assert bands[0] == bands[1] == bands[2] == bands[3]
    assert len(bands[0]) == owners
