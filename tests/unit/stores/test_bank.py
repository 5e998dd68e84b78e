"""The bank of accepted images' embeddings in Redis."""

from hashlib import sha256

import numpy as np
import pytest
import redis
from pydantic import SecretStr

from kaption.connections.errors import Retry
from kaption.connections.settings import RedisConnection
from kaption.workers.stores.bank import Bank, Embedded
from kaption.workers.stores.client import connect_redis
from kaption.workers.stores.footprint import Footprint

NAMES = [sha256(str(n).encode()).hexdigest() for n in range(40)]


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return connect_redis(RedisConnection(url=SecretStr(redis_url)))


def embedded(names: list[str], seed: int = 0) -> Embedded:
    """A vector for each name, which depends on the name alone."""
    rows = [np.random.default_rng([seed, int(name[:8], 16)]).normal(size=16) for name in names]
    table = np.array(rows, np.float32).reshape(-1, 16)
    return Embedded(names, table / np.linalg.norm(table, axis=1, keepdims=True))


def test_the_images_with_the_lowest_sha256_stay_whatever_their_order(client: redis.Redis) -> None:
    # Given two replicas that see the same images in other orders and batches, some of them twice
    one, other = Bank(client, "one:", 10), Bank(client, "other:", 10)
    for name in NAMES:
        one.put("r", "p", embedded([name]))
    for part in (NAMES[20:], NAMES[:25], NAMES[30:]):
        other.put("r", "p", embedded(part[::-1]))
    # When both are read
    first, second = one.get("r", "p"), other.get("r", "p")
    # Then they hold the same images with the same vectors, up to half precision
    assert first.sha256s == second.sha256s == sorted(NAMES)[:10]
    assert np.array_equal(first.rows, second.rows)
    np.testing.assert_allclose(first.rows, embedded(sorted(NAMES)[:10]).rows, atol=1e-3)


def test_a_redelivery_changes_nothing(client: redis.Redis) -> None:
    bank = Bank(client, "k:", 10)
    bank.put("r", "p", embedded(NAMES[:20]))
    before = bank.get("r", "p")

    bank.put("r", "p", embedded(NAMES[5:20]))

    assert bank.get("r", "p").sha256s == before.sha256s
    assert client.zcard(bank._key("r", "p")) == 10


def test_an_image_that_two_devices_rounded_differently_counts_once(client: redis.Redis) -> None:
    bank = Bank(client, "k:", 10)
    for seed in (0, 1):
        bank.put("r", "p", embedded(NAMES[:3], seed))

    assert bank.get("r", "p").sha256s == sorted(NAMES[:3])


@pytest.mark.parametrize("other", [("r2", "p"), ("r", "p2"), ("rp", "")])
def test_each_revision_and_preprocessing_has_a_bank(
    client: redis.Redis, other: tuple[str, str]
) -> None:
    bank = Bank(client, "k:", 10)
    bank.put("r", "p", embedded(NAMES[:3]))

    assert list(bank.get(*other).sha256s) == []
    assert bank.get(*other).rows.shape[0] == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e6])
def test_a_vector_that_is_no_number_is_not_kept(client: redis.Redis, bad: float) -> None:
    bank = Bank(client, "k:", 10)
    images = embedded(NAMES[:2])
    images.rows[0, 3] = bad

    with np.errstate(over="ignore"):
        bank.put("r", "p", images)

    assert list(bank.get("r", "p").sha256s) == [NAMES[1]]


def test_a_takedown_removes_an_image_from_all_banks(client: redis.Redis) -> None:
    # Given two banks with the same images
    bank = Bank(client, "k:", 10)
    for revision in ("r", "r2"):
        bank.put(revision, "p", embedded(NAMES[:5]))
    gone = [Footprint(sha256=NAMES[2]), Footprint(sha256="f" * 64), Footprint()]
    # When one image is taken down, after a trial
    counted = bank.forget(gone, dry_run=True)
    removed = bank.forget(gone)
    # Then it is in no bank, and the others stay
    assert counted == removed == 2
    assert bank.forget(gone) == 0
    for revision in ("r", "r2"):
        assert bank.get(revision, "p").sha256s == sorted({*NAMES[:5]} - {NAMES[2]})


def test_a_bank_expires_with_the_topics(client: redis.Redis) -> None:
    bank = Bank(client, "k:", 10)
    bank.put("r", "p", embedded(NAMES[:2]))

    assert 0 < client.ttl(bank._key("r", "p")) <= 7 * 24 * 3600


@pytest.mark.slow
def test_a_server_that_is_away_is_a_retry() -> None:
    away = connect_redis(RedisConnection(url=SecretStr("redis://127.0.0.1:1/0")))

    with pytest.raises(Retry):
        Bank(away, "k:", 10).get("r", "p")
