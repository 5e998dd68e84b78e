"""Embeddings and captions in Redis."""

from typing import cast

import numpy as np
import pytest
import redis
from numpy.typing import NDArray
from pydantic import SecretStr

from kaption.connections.errors import Retry
from kaption.connections.settings import RedisConnection
from kaption.schemas import Caption, CaptionKind
from kaption.schemas.caption import CheckResult
from kaption.workers.stores.captions import CaptionCache, CaptionKey
from kaption.workers.stores.client import connect_redis
from kaption.workers.stores.embeddings import EmbeddingCache, EmbeddingKey
from kaption.workers.stores.footprint import Footprint

pytestmark = pytest.mark.slow


@pytest.fixture
def client(redis_url) -> redis.Redis:
    return connect_redis(RedisConnection(url=SecretStr(redis_url)))


def unit_rows(n: int, d: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    return cast("NDArray[np.float32]", rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_vectors_come_back_as_unit_vectors_in_the_order_of_the_keys(client):
    # Given two stored vectors
    cache = EmbeddingCache(client, "kaption:")
    keys = [EmbeddingKey(sha * 64, "r1", "p1") for sha in "abc"]
    rows = unit_rows(2, 512)
    kept = cache.put(keys[:2], rows)

    # When they are read in another order, with one that is missing
    second, missing, first = cache.get([keys[1], keys[2], keys[0]])

    # Then each is a unit vector, within half precision of the stored one
    assert missing is None
    assert first is not None
    assert second is not None
    for found, row in ((first, rows[0]), (second, rows[1])):
        assert found.dtype == np.float32
        assert float(np.linalg.norm(found)) == pytest.approx(1, abs=1e-6)
        assert float(found @ row) > 1 - 1e-6

    # And `put` returned the same vectors
    assert np.array_equal(kept, [first, second])


@pytest.mark.parametrize(
    "other",
    [
        EmbeddingKey("b" * 64, "r1", "p1"),
        EmbeddingKey("a" * 64, "r2", "p1"),
        EmbeddingKey("a" * 64, "r1", "p2"),
    ],
)
def test_an_embedding_depends_on_image_model_and_preprocessing(client, other):
    cache = EmbeddingCache(client, "kaption:")
    cache.put([EmbeddingKey("a" * 64, "r1", "p1")], unit_rows(1, 8))
    assert cache.get([other]) == [None]


def test_an_embedding_takes_two_bytes_per_dimension_and_expires(client):
    cache = EmbeddingCache(client, "kaption:", ttl_s=60)
    cache.put([EmbeddingKey("a" * 64, "r1", "p1")], unit_rows(1, 512))
    (key,) = client.keys("kaption:*")
    (vector,) = client.hvals(key)
    assert len(vector) == 1024
    assert 0 < client.ttl(key) <= 60


def test_the_number_of_vectors_must_equal_the_number_of_keys(client):
    with pytest.raises(ValueError, match="1 keys for 2 vectors"):
        EmbeddingCache(client, "k:").put([EmbeddingKey("a" * 64, "r", "p")], unit_rows(2, 8))


def test_captions_come_back_with_all_their_fields(client):
    # Given candidates with every field of a caption, and an empty answer
    cache = CaptionCache(client, "kaption:", ttl_s=60)
    full = Caption(
        text="ein rotes Haus, 赤い家 \u2028",
        kind=CaptionKind.VLM,
        model="m",
        prompt_id="p",
        score=0.31,
        window_scores=(0.3, 0.32),
        checks=(CheckResult(name="length", passed=True, value=5.0),),
    )
    keys = [CaptionKey("a" * 64, "vlm", context) for context in ("", "c1", "c2")]
    cache.put(keys[:2], [(full, full), ()])

    # When / Then
    assert cache.get(keys) == [(full, full), (), None]
    assert all(0 < client.ttl(key) <= 60 for key in client.scan_iter())


def test_a_takedown_removes_all_values_of_an_image(client):
    # Given two images, each embedded by two models and captioned in two contexts
    embeddings, captions = EmbeddingCache(client, "kaption:"), CaptionCache(client, "kaption:")
    one, other = "a" * 64, "b" * 64
    for sha256 in (one, other):
        embeddings.put([EmbeddingKey(sha256, model, "p") for model in "rs"], unit_rows(2, 8))
        captions.put([CaptionKey(sha256, "vlm", context) for context in "cd"], [(), ()])
    footprints = [Footprint(sha256=one), Footprint(original_sha256=other)]

    # When the values of the first one are counted, removed and removed again
    found = [
        [cache.forget(footprints, dry_run=dry) for cache in (embeddings, captions)]
        for dry in (True, False, False)
    ]

    # Then only the other image's values are left
    assert found == [[2, 2], [2, 2], [0, 0]]
    assert len(keys := list(client.scan_iter())) == 2
    assert all(bytes.fromhex(other) in key for key in keys)
    assert embeddings.get([EmbeddingKey(one, "r", "p")]) == [None]
    assert captions.get([CaptionKey(other, "vlm", "c")]) == [()]


def test_a_caption_cache_without_redis_raises_retry():
    client = connect_redis(RedisConnection(url=SecretStr("redis://127.0.0.1:1/0")))
    captions, embeddings = CaptionCache(client, "k:"), EmbeddingCache(client, "k:")
    for get in (
        lambda: captions.get([CaptionKey("a" * 64, "vlm")]),
        lambda: embeddings.get([EmbeddingKey("a" * 64, "r", "p")]),
    ):
        with pytest.raises(Retry):
            get()
    for cache in (captions, embeddings):
        assert "Redis" in (cache.ready() or "")
