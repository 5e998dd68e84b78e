"""Claims of near duplicates that race, and workers that die between the look and the claim."""

import itertools
import multiprocessing
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from kaption.schemas import Position
from kaption.workers.stores import near as redis_near
from support.near_race import claim_all, claims_of, dedup_at, looks, owner

pytestmark = pytest.mark.slow


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
    monkeypatch.setattr(near, "_keep_free", lambda *_: (_ for _ in ()).throw(KeyError))
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

    def overtaken(*call):
        monkeypatch.setattr(near, "_keep_free", real)
        others = [1, *(rng.getrandbits(64) for _ in range(30))]
        dedup.claim_near(
            [looks(other) for other in others], [owner(100 + number) for number in range(31)]
        )
        return real(*call)

    monkeypatch.setattr(near, "_keep_free", overtaken)

    # When / Then the claim still sees them
    assert dedup.claim_near([looks(0)], [owner(1)]) == [owner(100)]


def test_one_overtaken_by_a_few_entries_sees_them(dedup, monkeypatch):
    # Given another worker's near claim between our look and our claim
    near, real = dedup._near, dedup._near._keep_free

    def overtaken(*call):
        monkeypatch.setattr(near, "_keep_free", real)
        dedup.claim_near([looks(3)], [owner(2)])
        return real(*call)

    monkeypatch.setattr(near, "_keep_free", overtaken)

    # When / Then
    assert dedup.claim_near(
        [looks(0), looks(1 << 50), looks(0x7F << 8)], [owner(1), owner(3), owner(4)]
    ) == [
        owner(2),
        owner(2),
        owner(4),
    ]


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
