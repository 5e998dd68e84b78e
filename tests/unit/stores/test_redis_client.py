"""Redis errors, sorted by what to do about them."""

import pytest
import redis
from pydantic import SecretStr

from kaption.connections.errors import Fatal, Retry
from kaption.connections.settings import RedisConnection
from kaption.workers.local import Valkey
from kaption.workers.stores import client as redis_client

pytestmark = pytest.mark.slow


def client_for(url: str) -> redis.Redis:
    return redis_client.connect(RedisConnection(url=SecretStr(url)))


def test_a_server_that_is_away_is_waited_for():
    # Given a port where nothing listens
    client = client_for("redis://127.0.0.1:1/0")

    # When / Then
    with pytest.raises(Retry, match="Redis"), redis_client.translated():
        client.get("x")
    assert "Redis" in (redis_client.answers(client) or "")


@pytest.mark.parametrize("url", ["http://127.0.0.1", "redis://127.0.0.1:port/0"])
def test_a_url_that_is_none_is_fatal_and_says_the_form(url):
    with pytest.raises(Fatal, match=r"redis\.url .* redis://"):
        client_for(url)


def test_a_wrong_password_is_fatal():
    # Given a server with a password
    with Valkey() as server:
        redis.Redis.from_url(server.url).config_set("requirepass", "right")

        # When / Then none and a wrong one are both told from an outage
        for url in (server.url, server.url.replace("redis://", "redis://:wrong@")):
            with pytest.raises(Fatal, match="check user and password"), redis_client.translated():
                client_for(url).get("x")


def test_a_missing_database_is_fatal(valkey):
    url = valkey.url.removesuffix("/0") + "/99999"
    with pytest.raises(Fatal, match="database number"), redis_client.translated():
        client_for(url).get("x")


def test_a_full_server_is_waited_for():
    # Given a server at its memory limit
    with Valkey() as server:
        redis.Redis.from_url(server.url).config_set("maxmemory", "1")

        # When / Then
        with pytest.raises(Retry, match="Redis"), redis_client.translated():
            client_for(server.url).set("x", "y")


def test_a_replica_that_cannot_write_is_waited_for(valkey):
    # Given a server that follows another one
    with Valkey() as server:
        redis.Redis.from_url(server.url).replicaof("127.0.0.1", str(valkey.ports[0]))

        # When / Then
        with pytest.raises(Retry), redis_client.translated():
            client_for(server.url).set("x", "y")


def test_a_fault_of_ours_is_not_hidden(redis_url):
    # Given a key of another type
    client = client_for(redis_url)
    client.set("x", "text")

    # When / Then
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"), redis_client.translated():
        client.hget("x", "field")


def test_a_server_that_is_up_is_ready(redis_url):
    assert redis_client.answers(client_for(redis_url)) is None
