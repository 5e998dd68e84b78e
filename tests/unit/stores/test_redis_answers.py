"""First answers of URLs, against what the interface promises."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from kaption.connections.errors import Retry
from kaption.connections.settings import RedisConnection
from kaption.schemas import BlobRef, ImageRef, Position, Reason
from kaption.workers.stores import client as redis_client
from kaption.workers.stores.answers import REFUSAL_TTL_S, Answer, Answers, Refusal
from kaption.workers.stores.footprint import Footprint

pytestmark = pytest.mark.slow

ORIGIN = Position("pairs.raw", 3, 14)
REPLAY = Position("pairs.raw", 5, 92)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis_client.connect(RedisConnection.model_validate({"url": redis_url})) as client:
        yield client


@pytest.fixture
def answers(client: redis.Redis) -> Answers:
    return Answers(client, "kaption:", ttl_s=86_400)


def image_bytes(number: int) -> ImageRef:
    return ImageRef(
        blob=BlobRef(sha256=f"{number:064x}", bytes=31_000, media_type="image/jpeg"),
        width=512,
        height=384,
        original_sha256=f"{number + 1:064x}",
        original_width=1600,
        original_height=1200,
        original_bytes=400_000,
        original_format="WEBP",
        url=f"https://example.org/r\u00f6t/{number}.webp?size=large",
        perceptual_hash=None if number == 0 else f"dhash:{number:016x}",
    )


def refusal(delivery: Position, detail: str = "404") -> Refusal:
    return Refusal(reason=Reason.FETCH_STATUS, detail=detail, delivery=str(delivery))


def test_the_first_answer_comes_back_whole_whoever_asks(answers: Answers) -> None:
    # Given two remembered images, one of them after another for the same origin in one call
    other = Position("pairs.raw", 3, 15)
    first = answers.first(
        [ORIGIN, other, ORIGIN], [ORIGIN, other, ORIGIN], [image_bytes(n) for n in range(3)]
    )

    # When another worker found other things
    found: list[Answer] = [image_bytes(7), refusal(other)]
    second = answers.first([ORIGIN, other], [ORIGIN, other], found)

    # Then the first writer's hold, for it and for everybody
    assert first == [image_bytes(0), image_bytes(1), image_bytes(0)]
    assert second == first[:2]
    assert [answers.get(origin, REPLAY) for origin in (ORIGIN, other)] == second


def test_nothing_is_remembered_of_what_was_not_told(answers: Answers) -> None:
    assert answers.get(ORIGIN, ORIGIN) is None
    assert answers.first([], [], []) == []


def test_a_refusal_holds_for_its_delivery(answers: Answers) -> None:
    # Given a refused delivery
    assert answers.first([ORIGIN], [ORIGIN], [refusal(ORIGIN)]) == [refusal(ORIGIN)]

    # When another worker has an image for the same delivery / Then it is refused too
    assert answers.first([ORIGIN], [ORIGIN], [image_bytes(1)]) == [refusal(ORIGIN)]
    assert answers.get(ORIGIN, ORIGIN) == refusal(ORIGIN)


@pytest.mark.parametrize("found", [image_bytes(1), refusal(REPLAY, "410")])
def test_a_replay_is_not_bound_by_a_refusal(answers: Answers, found: Answer) -> None:
    # Given a refused delivery of a record that is replayed later
    answers.first([ORIGIN], [ORIGIN], [refusal(ORIGIN)])

    # When / Then its own answer takes the place
    assert answers.get(ORIGIN, REPLAY) is None
    assert answers.first([ORIGIN], [REPLAY], [found]) == [found]
    assert answers.get(ORIGIN, REPLAY) == found


def test_images_are_kept_as_long_as_told_and_refusals_for_a_while(
    client: redis.Redis, answers: Answers
) -> None:
    answers.first([ORIGIN, REPLAY], [ORIGIN, REPLAY], [image_bytes(1), refusal(REPLAY)])

    assert REFUSAL_TTL_S < client.ttl(f"kaption:url:{ORIGIN}") <= 86_400
    assert 0 < client.ttl(f"kaption:url:{REPLAY}") <= REFUSAL_TTL_S
    assert client.strlen(f"kaption:url:{ORIGIN}") < 600


def test_workers_that_race_agree(answers: Answers) -> None:
    # Given eight workers, each with its own answer for each of 50 origins, in its own order
    origins = [Position("pairs.raw", 0, offset) for offset in range(50)]

    def told(worker: int) -> dict[Position, Answer]:
        mine = random.Random(worker).sample(origins, len(origins))
        found: list[Answer] = [
            refusal(one) if worker % 4 == 0 else image_bytes(worker) for one in mine
        ]
        return dict(zip(mine, answers.first(mine, mine, found), strict=True))

    # When all tell theirs at once
    with ThreadPoolExecutor(8) as pool:
        everything = list(pool.map(told, range(8)))

    # Then all were told the same
    assert all(one == everything[0] for one in everything)


def test_what_an_owner_got_is_forgotten(client: redis.Redis, answers: Answers) -> None:
    answers.first([ORIGIN, REPLAY], [ORIGIN, REPLAY], [image_bytes(1), image_bytes(2)])
    footprints = [Footprint(owner=str(ORIGIN)), Footprint(original_sha256="a" * 64)]

    assert [answers.forget(footprints, dry_run=dry) for dry in (True, False, False)] == [1, 1, 0]
    assert answers.get(ORIGIN, ORIGIN) is None
    assert answers.get(REPLAY, REPLAY) == image_bytes(2)


def test_two_deployments_on_one_server_do_not_meet(client: redis.Redis) -> None:
    one, other = (Answers(client, prefix, ttl_s=60) for prefix in ("one:", "other:"))
    one.first([ORIGIN], [ORIGIN], [image_bytes(1)])

    assert other.get(ORIGIN, ORIGIN) is None


def test_a_store_that_is_away_is_waited_for() -> None:
    connection = RedisConnection.model_validate({"url": "redis://127.0.0.1:1/0"})
    answers = Answers(redis_client.connect(connection), "k:", ttl_s=60)

    with pytest.raises(Retry):
        answers.get(ORIGIN, ORIGIN)
    with pytest.raises(Retry):
        answers.first([ORIGIN], [ORIGIN], [image_bytes(1)])
    assert "Redis" in (answers.ready() or "")
