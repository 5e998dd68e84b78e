"""Fixtures: real servers, shared by the session, with something fresh for each test."""

import itertools
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from kaption.workers.local import Tansu, Valkey
from support.certificates import Authority
from support.parts import S3Bucket, cache_folder, serving
from support.secure_kafka import SecureKafka
from tools.servers import ApacheKafka, SeaweedFs

_databases = itertools.count()
_SERVERS = {"apache_kafka", "own_kafka", "secure_kafka", "tansu", "valkey", "seaweedfs"}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With -m "not slow", do not import a file that is slow as a whole: it may load torch."""
    if "not slow" not in config.option.markexpr or collection_path.suffix != ".py":
        return None
    return "\npytestmark = pytest.mark.slow\n" in collection_path.read_text("utf-8") or None


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
