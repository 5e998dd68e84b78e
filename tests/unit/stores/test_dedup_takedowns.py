"""Claims of deduplication that a takedown removes."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from kaption.connections.errors import Retry
from kaption.schemas import Position
from kaption.workers.stores.dedup import Dedup
from kaption.workers.stores.footprint import Footprint
from support.near_race import dedup_at, flipped, leaves, looks, owner

pytestmark = pytest.mark.slow


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
    assert {key for key in after if after[key] != before.get(key)} == {b"{kaption:}near3:sequence"}
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

    # Then each kept entry is complete: it is in its four trees and has its owner
    client = redis.Redis.from_url(redis_url)
    trees = [
        sorted(
            entries[at : at + 16]
            for entries in leaves(redis_url, tree)
            for at in range(0, len(entries), 16)
        )
        for tree in range(1, 5)
    ]
    owners = sum(client.hlen(key) for key in client.scan_iter(match="*near3:look:*"))
    assert trees[0] == trees[1] == trees[2] == trees[3]
    assert len(trees[0]) == owners
