"""The remembered alt texts of refused copies."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from pydantic import SecretStr

from kaption.connections.errors import Retry
from kaption.connections.settings import RedisConnection
from kaption.schemas import CaptionKind, DedupInfo, Position, Reason
from kaption.testing.records import ingested_pair
from kaption.workers.runtime.stage import Reject
from kaption.workers.stores.client import connect_redis
from kaption.workers.stores.copy_texts import TEXT_BYTES, CopyTexts, RefusedCopy
from kaption.workers.stores.footprint import Footprint
from kaption.workers.stores.image_cache import TTL_S

pytestmark = pytest.mark.slow

KEPT = "pairs.raw/0/1/abcdefghijklmnopqrstuv"
NEAR = "pairs.raw/3/2"


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def copies(client: redis.Redis) -> CopyTexts:
    return CopyTexts(client, "t:", 3)


def copy(
    number: int,
    text: str,
    of: str = KEPT,
    reason: Reason = Reason.DUPLICATE,
    owner: str | None = None,
    **fields: object,
) -> RefusedCopy:
    pair = ingested_pair(number, clean_text=text, **fields).model_copy(
        update={"dedup": DedupInfo(owner=owner or f"pairs.raw/9/{number}")}
    )
    return RefusedCopy(pair, Reject(reason, f"of {of}"))


def texts(copies: CopyTexts, owner: str = KEPT) -> set[str]:
    (found,) = copies.get([owner])
    return {caption.text for caption in found}


def test_a_text_is_given_with_the_pair_that_it_came_from(copies: CopyTexts) -> None:
    # Given a copy on another page
    page = "https://b.example/p"
    refused = copy(1, "a red vase", page_url=page, source="crawl-7", language="de")

    # When
    copies.remember([refused])

    # Then
    other, (found,) = copies.get(["pairs.raw/0/7", KEPT])
    assert other == ()
    assert (found.text, found.kind) == ("a red vase", CaptionKind.ORIGINAL)
    assert found.source is not None
    assert (found.source.pair_id, found.source.page_url) == (refused.pair.pair_id, page)
    assert (found.source.source, found.source.language) == ("crawl-7", "de")


def test_an_image_has_few_different_texts_and_a_redelivery_changes_nothing(
    copies: CopyTexts, client: redis.Redis
) -> None:
    # Given more copies than places, some with the same words and one with none
    refused = [
        copy(number, text)
        for number, text in enumerate(["one", " ", "ONE", "two", "o  ne", "one", "four"])
    ]
    copies.remember(refused)
    (before,) = copies.get([KEPT])

    # When they come again, in another order
    copies.remember(refused[::-1])

    # Then
    assert {caption.text for caption in before} == {"one", "two", "o  ne"}
    assert copies.get([KEPT]) == [before]
    assert 0 < client.ttl(f"t:copies:{KEPT}") <= TTL_S


def test_racing_workers_keep_no_more_texts_than_there_are_places(copies: CopyTexts) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: copies.remember([copy(n, f"text {n}")]), range(40)))

    assert len(texts(copies)) == copies.limit


@pytest.mark.parametrize(
    ("reason", "of", "text"),
    [
        (Reason.TAKEN_DOWN, KEPT, "a red vase"),
        (Reason.DUPLICATE, "a worker that nobody knows", "a red vase"),
        (Reason.NEAR_DUPLICATE, KEPT, "\u00e4" * (TEXT_BYTES // 2)),
    ],
)
def test_what_is_no_usable_copy_is_not_remembered(
    copies: CopyTexts, client: redis.Redis, reason: Reason, of: str, text: str
) -> None:
    copies.remember([copy(1, text, of, reason)])

    assert not list(client.scan_iter("t:copies:*"))


def test_no_text_is_remembered_where_the_policy_wants_none(client: redis.Redis) -> None:
    CopyTexts(client, "t:", 0).remember([copy(1, "a red vase", reason=Reason.NEAR_DUPLICATE)])

    assert not list(client.scan_iter())


def test_an_odd_noted_address_does_not_stop_a_batch(copies: CopyTexts) -> None:
    copies.remember([copy(1, "a red vase", extra={"image_url": "", "crawled_url": 7})])

    assert texts(copies) == {"a red vase"}


@pytest.mark.parametrize("together", [True, False])
def test_a_copy_of_a_near_duplicate_brings_its_text_to_the_kept_image(
    copies: CopyTexts, together: bool
) -> None:
    # Given a near-duplicate, which holds the claim on its own bytes, and a copy of those
    near = copy(2, "a vase", KEPT, Reason.NEAR_DUPLICATE, owner=NEAR)
    exact = copy(3, "a red vase on a table", NEAR)

    # When they are refused
    for refused in [[exact, near]] if together else [[near], [exact]]:
        copies.remember(refused)

    # Then
    assert texts(copies) == {"a vase", "a red vase on a table"}
    assert texts(copies, NEAR) == set()


def test_a_takedown_removes_the_texts_of_an_image_and_those_that_a_copy_brought(
    copies: CopyTexts,
) -> None:
    # Given an image with the texts of three copies, one of them a copy of a near-duplicate
    near = copy(2, "two", KEPT, Reason.NEAR_DUPLICATE, owner=NEAR)
    refused = [near, copy(1, "one"), copy(3, "three", NEAR)]
    copies.remember(refused)

    # When the last copy, an unknown one and other parts of a footprint are forgotten
    gone = [
        Footprint(copy_of=NEAR, pair_id=refused[2].pair.pair_id),
        Footprint(copy_of="pairs.raw/0/9", pair_id="pair-1"),
        Footprint(sha256="a" * 64),
    ]
    counted = copies.forget(gone, dry_run=True)

    # Then one text goes, and a dry run counts it only
    assert texts(copies) == {"one", "two", "three"}
    assert (counted, copies.forget(gone), copies.forget(gone)) == (1, 1, 0)
    assert texts(copies) == {"one", "two"}
    # And all go with the image
    assert copies.forget([Footprint(owner=KEPT)]) == 2
    assert texts(copies) == set()


def test_redis_that_is_away_is_asked_again() -> None:
    away = CopyTexts(
        connect_redis(RedisConnection(url=SecretStr("redis://127.0.0.1:1/0"))), "t:", 8
    )
    footprint = Footprint(owner=str(Position("pairs.raw", 0, 0)))

    for call in (
        lambda: away.remember([copy(1, "one")]),
        lambda: away.get([KEPT]),
        lambda: away.forget([footprint]),
    ):
        with pytest.raises(Retry):
            call()
