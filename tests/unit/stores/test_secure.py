"""Valkey behind TLS with a user of limited rights, and the errors that it gives."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from kaption.connections.errors import Fatal
from kaption.connections.settings import RedisConnection
from kaption.schemas import Position
from kaption.workers.local import Valkey
from kaption.workers.policy.ingest import DedupPolicy
from kaption.workers.stores.answers import Answers
from kaption.workers.stores.client import connect_redis, ping, try_redis
from kaption.workers.stores.dedup import Dedup
from kaption.workers.stores.footprint import Footprint
from kaption.workers.stores.image_cache import ImageCache
from kaption.workers.stores.takedowns import TakedownList
from support.certificates import Authority, Certificate
from support.fault_proxy import FaultProxy
from support.ingest_bench import raw
from support.near_race import looks

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[3] / "docs" / "security.md"
PASSWORD = "p@ss/w%rd"


@dataclass(frozen=True)
class SecureRedis:
    """A server with the user ``kaption``, which is reachable over TLS only."""

    url: str
    admin: redis.Redis
    ca_file: str

    def connect(self, **changed: Any) -> redis.Redis:
        given: dict[str, Any] = {
            "url": SecretStr(self.url),
            "username": "kaption",
            "password": SecretStr(PASSWORD),
            "ca_file": self.ca_file,
        }
        return connect_redis(RedisConnection(**given | changed))


@pytest.fixture
def secure(valkey: Valkey, authority: Authority) -> Iterator[SecureRedis]:
    yield from _serve(valkey, authority, authority.server())


@pytest.fixture
def expired(valkey: Valkey, authority: Authority) -> Iterator[SecureRedis]:
    yield from _serve(valkey, authority, authority.server(expired=True))


def _serve(valkey: Valkey, authority: Authority, certificate: Certificate) -> Iterator[SecureRedis]:
    # The wheel's server is built without TLS. A proxy in front of it ends TLS, as a mesh does.
    with (
        redis.Redis.from_url(valkey.url) as admin,
        FaultProxy(valkey.ports[0], tls=certificate.server_context()) as front,
    ):
        admin.acl_deluser("kaption")
        (line,) = re.findall("^(ACL SETUSER .*)$", DOCS.read_text("utf-8"), re.MULTILINE)
        admin.execute_command(*line.replace("PASSWORD", PASSWORD).split())
        yield SecureRedis(f"rediss://{front.address}/0", admin, str(authority.file))


def test_the_documented_rights_suffice_for_stages_and_takedowns(secure: SecureRedis) -> None:
    # Given the documented rights
    client = secure.connect()
    try_redis(client, "kaption:")
    dedup = Dedup(client, "kaption:", DedupPolicy())
    answers = Answers(client, "kaption:", ttl_s=60)
    images = ImageCache(client, "kaption:", "emb", 60)
    takedowns = TakedownList(client, "kaption:", lambda known: ["ff" * 16], clock=time.monotonic)
    owner = Position("pairs.raw", 0, 1)
    # When the user does everything that stages and takedowns do
    # Then nothing is refused
    assert dedup.claim_exact(["ab" * 32], [owner]) == [owner]
    assert dedup.claim_near([looks(7)], [owner]) == [owner]
    assert dedup.count_text(["text"], [owner], 3) == [1]
    assert answers.get(owner, owner) is None
    images.put_bytes([("ab" * 32, "model")], [b"vector"])
    assert images.get_bytes([("ab" * 32, "model")]) == [b"vector"]
    assert takedowns.covering([raw(b"", 0).record]) == [None]
    left = Footprint(
        owner=str(owner),
        sha256="ab" * 32,
        original_sha256="ab" * 32,
        perceptual_hash=7,
        clean_text="text",
    )
    assert dedup.forget([left]) == 3
    assert images.forget([left], dry_run=False) == 1
    assert answers.forget([left], dry_run=True) == answers.forget([left]) == 0
    assert dedup.ready() is None


def test_user_and_password_may_be_in_the_url(secure: SecureRedis) -> None:
    url = secure.url.replace("rediss://", "rediss://kaption:p%40ss%2Fw%25rd@")
    client = secure.connect(url=SecretStr(url), username=None, password=None)
    assert ping(client) is None


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"password": SecretStr("wrong")}, r"redis\.password \(KAPTION_REDIS__PASSWORD\)"),
        ({"username": "other"}, r"redis\.password \(KAPTION_REDIS__PASSWORD\)"),
        ({"ca_file": None}, r"redis\.ca_file \(KAPTION_REDIS__CA_FILE\): .* not trusted"),
        ({"ca_file": "/nowhere.pem"}, r"redis\.ca_file \(KAPTION_REDIS__CA_FILE\): /nowhere"),
    ],
)
def test_a_refusal_names_the_setting(
    secure: SecureRedis, changed: dict[str, Any], expected: str
) -> None:
    with pytest.raises(Fatal, match=expected) as raised:
        try_redis(secure.connect(**changed), "kaption:")
    assert PASSWORD not in str(raised.value)


def test_an_expired_certificate_is_named(expired: SecureRedis) -> None:
    with pytest.raises(Fatal, match=r"redis\.url \(KAPTION_REDIS__URL\): .* has expired"):
        try_redis(expired.connect(), "kaption:")


@pytest.mark.parametrize(
    "missing",
    ["-hsetnx", "-eval", "-info", "-lrange", "-smismember", "-expire", "-del", "resetkeys"],
)
def test_a_missing_right_is_named(secure: SecureRedis, missing: str) -> None:
    secure.admin.execute_command("ACL", "SETUSER", "kaption", missing)
    with pytest.raises(Fatal, match=r"redis\.username \(KAPTION_REDIS__USERNAME\)"):
        try_redis(secure.connect(), "kaption:")


def test_a_password_in_the_url_and_in_the_settings_is_refused(secure: SecureRedis) -> None:
    url = SecretStr(secure.url.replace("rediss://", "rediss://:inner@"))
    with pytest.raises(Fatal, match=r"redis\.url .* keep one") as raised:
        secure.connect(url=url)
    assert "inner" not in str(raised.value)


def test_the_error_about_an_invalid_url_has_no_part_of_the_password() -> None:
    connection = RedisConnection(url=SecretStr("redis://:hun/ter2@127.0.0.1:6379/0"))
    with pytest.raises(Fatal) as raised:
        connect_redis(connection)
    assert "hun" not in str(raised.value)
    assert raised.value.__cause__ is None
