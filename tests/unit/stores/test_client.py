"""Redis errors become Retry or Fatal."""

import pytest
import redis
from pydantic import SecretStr

from kaption.connections.errors import Fatal, Retry
from kaption.connections.settings import RedisConnection
from kaption.workers.local import Valkey
from kaption.workers.stores.client import connect_redis, ping, redis_errors

pytestmark = pytest.mark.slow


def client_for(url: str) -> redis.Redis:
    return connect_redis(RedisConnection(url=SecretStr(url)))


def test_a_server_that_is_down_raises_retry():
    # Given a port where nothing listens
    client = client_for("redis://127.0.0.1:1/0")

    # When / Then
    with pytest.raises(Retry, match="Redis"), redis_errors():
        client.get("x")
    assert "Redis" in (ping(client) or "")


@pytest.mark.parametrize("url", ["http://127.0.0.1", "redis://127.0.0.1:port/0"])
def test_an_invalid_url_is_fatal_and_the_error_shows_the_form(url):
    with pytest.raises(Fatal, match=r"redis\.url .* redis://"):
        client_for(url)


def test_a_wrong_password_is_fatal():
    # Given a server with a password
    with Valkey() as server:
        redis.Redis.from_url(server.url).config_set("requirepass", "right")

        # When / Then a missing and a wrong password are both Fatal
        for url in (server.url, server.url.replace("redis://", "redis://:wrong@")):
            with pytest.raises(Fatal, match="check user and password"), redis_errors():
                client_for(url).get("x")


def test_a_missing_database_is_fatal(valkey):
    url = valkey.url.removesuffix("/0") + "/99999"
    with pytest.raises(Fatal, match="database number"), redis_errors():
        client_for(url).get("x")


def test_a_full_server_raises_retry():
    # Given a server at its memory limit
    with Valkey() as server:
        redis.Redis.from_url(server.url).config_set("maxmemory", "1")

        # When / Then
        with pytest.raises(Retry, match="Redis"), redis_errors():
            client_for(server.url).set("x", "y")


def test_a_read_only_replica_raises_retry(valkey):
    # Given a server that follows another one
    with Valkey() as server:
        redis.Redis.from_url(server.url).replicaof("127.0.0.1", str(valkey.ports[0]))

        # When / Then
        with pytest.raises(Retry), redis_errors():
            client_for(server.url).set("x", "y")


def test_an_error_of_our_own_command_is_raised_unchanged(redis_url):
    # Given a key of another type
    client = client_for(redis_url)
    client.set("x", "text")

    # When / Then
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"), redis_errors():
        client.hget("x", "field")


def test_a_running_server_answers_a_ping(redis_url):
    assert ping(client_for(redis_url)) is None
