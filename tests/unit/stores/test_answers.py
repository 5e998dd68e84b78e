"""The remembered first answers of URLs."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from kaption.connections.errors import Retry
from kaption.connections.settings import RedisConnection
from kaption.schemas import Position, Reason
from kaption.testing.records import blob_ref, image_ref
from kaption.workers.stores.answers import REFUSAL_TTL_S, Answer, Answers, Refusal, SketchedImage
from kaption.workers.stores.client import connect_redis
from kaption.workers.stores.footprint import Footprint

pytestmark = pytest.mark.slow

ORIGIN = Position("pairs.raw", 3, 14)
REPLAY = Position("pairs.raw", 5, 92)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect_redis(RedisConnection.model_validate({"url": redis_url})) as client:
        yield client


@pytest.fixture
def answers(client: redis.Redis) -> Answers:
    return Answers(client, "kaption:", ttl_s=86_400)


def stored_image(number: int) -> SketchedImage:
    reference = image_ref(
        blob_ref(number),
        original_format="WEBP",
        url=f"https://example.org/r\u00f6t/{number}.webp?size=large",
        perceptual_hash=None if number == 0 else f"simhash:{number:016x}",
    )
    return SketchedImage(**dict(reference), sketch=bytes([number]) * 700)


def refusal(delivery: Position, detail: str = "404") -> Refusal:
    return Refusal(reason=Reason.FETCH_STATUS, detail=detail, delivery=str(delivery))


def test_the_first_answer_counts_for_every_worker(answers: Answers) -> None:
    # Given two remembered images, one of them the first of two for the same origin in one call
    other = Position("pairs.raw", 3, 15)
    first = answers.first(
        [ORIGIN, other, ORIGIN], [ORIGIN, other, ORIGIN], [stored_image(n) for n in range(3)]
    )

    # When another worker has found other answers
    found: list[Answer] = [stored_image(7), refusal(other)]
    second = answers.first([ORIGIN, other], [ORIGIN, other], found)

    # Then the first writer's answers count, for that worker and for everybody
    assert first == [stored_image(0), stored_image(1), stored_image(0)]
    assert second == first[:2]
    assert [answers.get(origin, REPLAY) for origin in (ORIGIN, other)] == second


def test_an_unknown_origin_has_no_answer(answers: Answers) -> None:
    assert answers.get(ORIGIN, ORIGIN) is None
    assert answers.first([], [], []) == []


def test_a_refusal_counts_for_its_delivery(answers: Answers) -> None:
    # Given a refused delivery
    assert answers.first([ORIGIN], [ORIGIN], [refusal(ORIGIN)]) == [refusal(ORIGIN)]

    # When another worker has an image for the same delivery / Then the refusal counts
    assert answers.first([ORIGIN], [ORIGIN], [stored_image(1)]) == [refusal(ORIGIN)]
    assert answers.get(ORIGIN, ORIGIN) == refusal(ORIGIN)


@pytest.mark.parametrize("found", [stored_image(1), refusal(REPLAY, "410")])
def test_a_refusal_does_not_count_for_a_replay(answers: Answers, found: Answer) -> None:
    # Given a refused delivery of a record that is replayed later
    answers.first([ORIGIN], [ORIGIN], [refusal(ORIGIN)])

    # When / Then the replay's answer replaces the refusal
    assert answers.get(ORIGIN, REPLAY) is None
    assert answers.first([ORIGIN], [REPLAY], [found]) == [found]
    assert answers.get(ORIGIN, REPLAY) == found


def test_images_expire_after_the_given_time_and_refusals_earlier(
    client: redis.Redis, answers: Answers
) -> None:
    answers.first([ORIGIN, REPLAY], [ORIGIN, REPLAY], [stored_image(1), refusal(REPLAY)])

    assert REFUSAL_TTL_S < client.ttl(f"kaption:url:{ORIGIN}") <= 86_400
    assert 0 < client.ttl(f"kaption:url:{REPLAY}") <= REFUSAL_TTL_S
    assert client.strlen(f"kaption:url:{ORIGIN}") < 1600


def test_racing_workers_get_the_same_answers(answers: Answers) -> None:
    # Given eight workers, each with its own answer for each of 50 origins, in its own order
    origins = [Position("pairs.raw", 0, offset) for offset in range(50)]

    def told(worker: int) -> dict[Position, Answer]:
        mine = random.Random(worker).sample(origins, len(origins))
        found: list[Answer] = [
            refusal(one) if worker % 4 == 0 else stored_image(worker) for one in mine
        ]
        return dict(zip(mine, answers.first(mine, mine, found), strict=True))

    # When all store their answers at once
    with ThreadPoolExecutor(8) as pool:
        everything = list(pool.map(told, range(8)))

    # Then all got the same answers
    assert all(one == everything[0] for one in everything)


def test_a_takedown_removes_an_owners_answer(client: redis.Redis, answers: Answers) -> None:
    answers.first([ORIGIN, REPLAY], [ORIGIN, REPLAY], [stored_image(1), stored_image(2)])
    footprints = [Footprint(owner=str(ORIGIN)), Footprint(original_sha256="a" * 64)]

    assert [answers.forget(footprints, dry_run=dry) for dry in (True, False, False)] == [1, 1, 0]
    assert answers.get(ORIGIN, ORIGIN) is None
    assert answers.get(REPLAY, REPLAY) == stored_image(2)


def test_two_key_prefixes_on_one_server_are_separate(client: redis.Redis) -> None:
    one, other = (Answers(client, prefix, ttl_s=60) for prefix in ("one:", "other:"))
    one.first([ORIGIN], [ORIGIN], [stored_image(1)])

    assert other.get(ORIGIN, ORIGIN) is None


def test_a_redis_that_is_down_raises_retry() -> None:
    connection = RedisConnection.model_validate({"url": "redis://127.0.0.1:1/0"})
    answers = Answers(connect_redis(connection), "k:", ttl_s=60)

    with pytest.raises(Retry):
        answers.get(ORIGIN, ORIGIN)
    with pytest.raises(Retry):
        answers.first([ORIGIN], [ORIGIN], [stored_image(1)])
