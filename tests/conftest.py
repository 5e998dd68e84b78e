"""Fixtures: real servers, shared by the session, with something fresh for each test."""

import itertools
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings

from kaption.workers.decode.pool import DecodePool
from kaption.workers.local import Tansu, Valkey
from kaption.workers.policy.ingest import IngestPolicy
from support.caption_server import TransformersServe
from support.certificates import Authority
from support.ingest_bench import Bench
from support.parts import S3Bucket, cache_folder, serving
from support.secure_kafka import SecureKafka
from tools.servers import ApacheKafka, SeaweedFs

# No test is timed: a busy machine is several times slower.
settings.register_profile(
    "untimed",
    parent=settings.default,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("untimed")
_databases = itertools.count()
_SERVERS = {"apache_kafka", "own_kafka", "secure_kafka", "tansu", "valkey", "seaweedfs"}
_SERVERS |= {"caption_server"}
_ON_SERVERS = "integration or chaos"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import a file of which -m leaves out every test: it may load torch."""
    chosen = config.option.markexpr
    if collection_path.suffix != ".py" or not ("not slow" in chosen or chosen == _ON_SERVERS):
        return None
    text = collection_path.read_text("utf-8")
    if chosen == _ON_SERVERS:
        return not re.search(r"pytest\.mark\.(integration|chaos)\b", text) or None
    return "\npytestmark = pytest.mark.slow\n" in text or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that uses a server, so that `make check` can leave it out."""
    for item in items:
        if isinstance(item, pytest.Function) and not _SERVERS.isdisjoint(item.fixturenames):
            item.add_marker("server")


@pytest.fixture(scope="session")
def apache_kafka() -> Iterator[ApacheKafka]:
    """Give the session's Apache Kafka; a test that kills or freezes takes `own_kafka`."""
    with serving(ApacheKafka(cache=cache_folder())) as server:
        yield server


@pytest.fixture
def own_kafka() -> Iterator[ApacheKafka]:
    """Give an Apache Kafka that the test may kill, freeze and restart."""
    with serving(ApacheKafka(cache=cache_folder())) as server:
        yield server


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Give the session's certificate authority."""
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def secure_kafka(authority: Authority) -> Iterator[SecureKafka]:
    """Give the session's Apache Kafka with TLS, SASL and ACLs."""
    secure = SecureKafka(authority)
    with serving(secure.server):
        yield secure


@pytest.fixture(scope="session")
def tansu() -> Iterator[Tansu]:
    """Give the session's Tansu."""
    with serving(Tansu()) as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """Give the session's Valkey; most tests want `redis_url`."""
    with serving(Valkey()) as server:
        yield server


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[SeaweedFs]:
    """Give the session's SeaweedFS; most tests want `s3`."""
    with serving(SeaweedFs()) as server:
        yield server


@pytest.fixture(scope="session")
def caption_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransformersServe]:
    """Give the session's caption server, with a tiny model that draws its tokens."""
    from support.odd_models import drawing, qwen3_vl  # loads torch

    model = drawing(qwen3_vl(tmp_path_factory.mktemp("served")))
    with serving(TransformersServe(model)) as server:
        yield server


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """Give the URL of an empty database of its own."""
    url = valkey.database_url(next(_databases) % valkey.databases)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def s3(seaweedfs: SeaweedFs) -> S3Bucket:
    """Give an empty bucket of its own."""
    return S3Bucket.on(seaweedfs)


@pytest.fixture
def topic_prefix() -> str:
    """Give a prefix that makes topic and group names the test's own."""
    return f"t{uuid.uuid4().hex[:8]}."


@pytest.fixture(scope="module")
def decoder() -> Iterator[DecodePool]:
    with DecodePool(IngestPolicy().image, 1) as pool:
        yield pool


@pytest.fixture
def bench(redis_url: str, tmp_path: Path, decoder: DecodePool) -> Bench:
    return Bench.opened(redis_url, tmp_path, decoder)
