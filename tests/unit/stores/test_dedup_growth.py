"""Exact claims of sets that have outgrown their first buckets, and their packed owners."""

import random

import pytest
import redis

from kaption.schemas import Position
from kaption.workers.stores.footprint import Footprint
from support.near_race import dedup_at, owner

pytestmark = pytest.mark.slow


def test_exact_claims_stay_when_their_buckets_are_divided(redis_url, dedup):
    # Given far more claims than one bucket holds, by origins of two topics
    rng = random.Random(1)
    sha256s = [rng.randbytes(32).hex() for _ in range(5000)]
    owners = [owner(number) for number in range(5000)]
    assert dedup.claim_exact(sha256s, owners) == owners

    # When another process asks and claims / Then each has its owner, in small buckets
    other = dedup_at(redis_url)
    assert other.holders(sha256s) == owners
    assert other.claim_exact(sha256s[::-1], [owner(9999)] * 5000) == owners[::-1]
    client = redis.Redis.from_url(redis_url)
    buckets = [name for name in client.scan_iter(match="*exact:*") if client.type(name) == b"hash"]
    assert sum(client.hlen(name) for name in buckets) == 5000
    assert all(client.object("encoding", name) == b"listpack" for name in buckets)


def test_owners_of_topics_with_one_name_differ_and_every_process_reads_them(redis_url, dedup):
    # Given claims by origins of one name, with and without an id, and of another topic
    owners = [
        Position("pairs.raw", 2**24 - 1, 2**48 - 1),
        Position("pairs.raw", 0, 7, "a" * 22),
        Position("pairs.raw", 0, 7, "b" * 22),
        Position("Other.topic_1-x", 3, 0),
    ]
    sha256s = [f"{number:064x}" for number in range(4)]
    sha256s = [each[32:] + each[:32] for each in sha256s]
    assert dedup.claim_exact(sha256s, owners) == owners
    assert dedup_at(redis_url).holders(sha256s) == owners

    # When Redis is emptied and the same process claims again / Then others can still read it
    redis.Redis.from_url(redis_url).flushdb()
    assert dedup.holders(sha256s) == [None] * 4
    dedup.claim_exact(sha256s, owners)
    assert dedup_at(redis_url).holders(sha256s) == owners


def test_a_footprint_whose_owner_is_no_position_removes_nothing(dedup):
    dedup.claim_exact(["ab" * 32], [owner(1)])
    footprint = Footprint(owner="somebody", original_sha256="ab" * 32, perceptual_hash=5)

    assert dedup.forget([footprint]) == 0
    assert dedup.holders(["ab" * 32]) == [owner(1)]


def test_takedowns_find_exact_claims_in_divided_buckets(dedup):
    rng = random.Random(2)
    sha256s = [rng.randbytes(32).hex() for _ in range(2000)]
    dedup.claim_exact(sha256s, [owner(number) for number in range(2000)])
    gone = [
        Footprint(owner=str(owner(number)), original_sha256=sha256s[number])
        for number in range(0, 2000, 2)
    ]

    assert [dedup.forget(gone, dry_run=dry) for dry in (True, False, False)] == [1000, 1000, 0]
    assert dedup.holders(sha256s) == [owner(n) if n % 2 else None for n in range(2000)]
