"""The numbers of a pair's versions."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from kaption.connections.errors import Retry
from kaption.schemas import Position
from kaption.workers.stores.footprint import Footprint
from kaption.workers.stores.image_cache import TTL_S
from kaption.workers.stores.versions import VersionCandidate, Versions

pytestmark = pytest.mark.slow

MARGIN = 0.05


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def versions(client: redis.Redis) -> Versions:
    return Versions(client, "t:")


def candidate(
    offset: int, text: str, worth: float, own: bool = False, by: str = "s"
) -> VersionCandidate:
    return VersionCandidate("pair", Position("pairs.captioned", 0, offset), own, text, worth, by)


def numbers(versions: Versions, *candidates: VersionCandidate) -> list[int]:
    return [versions.of([each], MARGIN)[0] for each in candidates]


def test_a_better_text_is_the_next_version_and_others_are_none(versions: Versions) -> None:
    found = numbers(
        versions,
        candidate(0, "a thing", 0.10, own=True),
        candidate(1, "a vase", 0.14),  # not by the margin
        candidate(2, "A Thing", 0.90),  # the same text
        candidate(3, "a red vase", 0.20),
        candidate(4, "a vase of glass", 0.19),
        candidate(5, "a tall red vase", 0.30),
    )

    assert found == [1, 0, 0, 2, 0, 3]


def test_a_message_that_comes_again_gets_its_answer_again(versions: Versions) -> None:
    # Given three versions
    sent = [candidate(at, f"text {at}", 0.1 * at, own=not at) for at in range(3)]
    first = versions.of(sent, MARGIN)

    # When / Then, also where its numbers moved meanwhile
    moved = [each._replace(worth=0.9, text="another") for each in sent]
    assert (first, versions.of(moved[::-1], MARGIN)) == ([1, 2, 3], [3, 2, 1])


def test_racing_copies_get_different_versions(versions: Versions, client: redis.Redis) -> None:
    # Given a published pair
    versions.of([candidate(0, "text", 0.0, own=True)], MARGIN)

    # When workers race, each message twice
    def work(number: int) -> int:
        at = 1 + number // 2
        return Versions(client, "t:").of([candidate(at, f"text {at}", 0.1 * at)], MARGIN)[0]

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(work, range(16)))

    # Then
    assert found[::2] == found[1::2]
    given = [version for version in found[::2] if version]
    assert sorted(given) == list(range(2, 2 + len(given)))


@pytest.mark.parametrize(
    ("own", "text", "worth", "by", "version"),
    [
        (True, "text 1", 0.1, "s", 2),  # a replay
        (True, "a new image", -0.5, "s", 2),  # another crawl
        (False, "text 2", 0.1, "another scorer", 3),
        (False, "text 1", 0.9, "another scorer", 0),
    ],
)
def test_a_pair_that_comes_for_itself_is_never_older_than_what_is_published(
    versions: Versions, own: bool, text: str, worth: float, by: str, version: int
) -> None:
    # Given a pair with two versions
    versions.of([candidate(0, "text 0", 0.0, own=True), candidate(1, "text 1", 0.4)], MARGIN)

    assert numbers(versions, candidate(7, text, worth, own, by)) == [version]


def test_a_pair_that_was_overtaken_must_be_better(versions: Versions) -> None:
    # Given a copy's record that came before the pair itself
    assert numbers(versions, candidate(3, "a red vase", 0.3)) == [1]

    # When / Then
    own = [candidate(4, "a vase", 0.1, own=True), candidate(5, "a tall vase", 0.4, own=True)]
    assert numbers(versions, *own) == [0, 2]


def test_only_first_versions_expire_and_a_takedown_removes_all(
    versions: Versions, client: redis.Redis
) -> None:
    # Given
    versions.of([candidate(0, "a thing", 0.1, own=True)], MARGIN)
    assert 0 < client.ttl("t:versions:pair") <= TTL_S

    # When a second version comes
    versions.of([candidate(1, "a red vase", 0.3)], MARGIN)

    # Then
    assert client.ttl("t:versions:pair") == -1
    copy = Footprint(copy_of="pairs.raw/0/1", pair_id="pair")
    own = Footprint(owner="pairs.raw/0/1", pair_id="pair")
    assert [versions.forget([each]) for each in (copy, own, own)] == [0, 1, 0]


def test_redis_that_is_away_is_asked_again() -> None:
    with pytest.raises(Retry):
        Versions(redis.Redis(port=1), "t:").of([candidate(0, "a", 0.1)], MARGIN)


def test_after_a_person_judged_a_pair_no_text_of_a_copy_makes_a_version(versions: Versions) -> None:
    # Given a pair whose second version a copy brought
    numbers(versions, candidate(0, "a thing", 0.1, own=True), candidate(1, "a red vase", 0.2))
    # When a person judges it, whose server knows version 1
    assert versions.judged("pair", 1) == 3
    # Then the person's version stays the highest: of later texts and of the pair itself
    better = candidate(2, "a tall red vase", 0.9)
    again = candidate(3, "a red vase", 0.2, own=True)
    assert numbers(versions, better, again, better) == [0, 1, 0]
    assert versions.judged("pair", 3) == 4
