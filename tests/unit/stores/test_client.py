"""Redis errors become Retry or Fatal."""

import pytest
import redis
from pydantic import SecretStr

from kaption.connections.errors import Fatal, Fault, Retry
from kaption.connections.settings import RedisConnection
from kaption.workers.local import Valkey
from kaption.workers.stores import client
from kaption.workers.stores.client import connect_redis, ping, redis_errors, try_redis
from support.answering import answering

pytestmark = pytest.mark.slow


def client_for(url: str) -> redis.Redis:
    return connect_redis(RedisConnection(url=SecretStr(url)))


def test_a_server_that_is_down_raises_retry():
    # Given a port where nothing listens
    absent = client_for("redis://127.0.0.1:1/0")

    # When / Then
    with pytest.raises(Retry, match="Redis"), redis_errors():
        absent.get("x")
    assert "Redis" in (ping(absent) or "")


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
    ours = client_for(redis_url)
    ours.set("x", "text")

    # When / Then
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"), redis_errors():
        ours.hget("x", "field")


def test_a_running_server_answers_a_ping(redis_url):
    assert ping(client_for(redis_url)) is None


WAIT = {
    "loading": ("-LOADING Redis is loading the dataset in memory", "wait until it has read"),
    "a replica": ("-READONLY You can't write against a read only replica.", "at the primary"),
    "a cut replica": ("-MASTERDOWN Link with MASTER is down", "bring its primary back"),
    "full": ("-OOM command not allowed when used memory > 'maxmemory'.", "raise its maxmemory"),
    "a full disk": ("-MISCONF Redis is configured to save RDB snapshots", "give its disk room"),
    "a long script": ("-BUSY Redis is busy running a script.", "SCRIPT KILL"),
    "too many clients": ("-ERR max number of clients reached", "raise its maxclients"),
    "no replicas": ("-NOREPLICAS Not enough good replicas to write.", "bring its replicas back"),
    "silence": ("", "rediss:// where it speaks TLS"),
    "half an answer": ("$100\r\nabc", "rediss:// where it speaks TLS"),
}
STOP = {
    "protected mode": ("-DENIED Running in protected mode because", "redis.password"),
    "a wrong password": ("-WRONGPASS invalid username-password pair", "check user and password"),
    "no password": ("-NOAUTH Authentication required.", "check user and password"),
    "a missing right": ("-NOPERM this user has no permissions to run 'eval'", "its ACL needs"),
    "a cluster": ("-MOVED 3999 127.0.0.1:6381", "point redis.url at a single server"),
    "something new": ("-WEIRD of a later version", "WEIRD of a later version"),
    "a command that is switched off": ("-ERR unknown command 'EVAL'", "unknown command"),
    "an error without words": ("-", "no reason given"),
    "another protocol": ("SSH-2.0-OpenSSH", "is not Redis"),
    "a web server": ("HTTP/1.1 400 Bad Request\r\n\r\n<html>", "is not Redis"),
    "no number": (":abc", "is not Redis"),
    "no length": ("$abc\r\nxx", "is not Redis"),
    "an alert of TLS": ("\x15\x03\x01\x00\x02\x02\x46", "is not Redis"),
}
EITHER = {"OK to all": "+OK", "numbers to all": ":1", "nothing to all": "*-1", "lists": "*1\r\n+a"}
ANSWERS: dict[str, tuple[str, type[Fault], str]]
ANSWERS = {name: (answer, Retry, said) for name, (answer, said) in WAIT.items()}
ANSWERS |= {name: (answer, Fatal, said) for name, (answer, said) in STOP.items()}
ANSWERS |= {name: (answer, Fault, "correct redis.url") for name, answer in EITHER.items()}


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize(("answer", "kind", "said"), ANSWERS.values(), ids=ANSWERS)
def test_each_answer_of_a_server_is_one_line_that_says_what_to_do(
    answer, kind, said, closes, monkeypatch
):
    monkeypatch.setattr(client, "ATTEMPTS", 0)
    monkeypatch.setattr(client, "REPLY_TIMEOUT_S", 0.2)
    # Given a server that answers this to whatever it is sent, and then closes or is silent
    with answering(f"{answer}\r\n".encode("latin-1") * 20 if answer else b"", closes) as port:
        # When / Then
        with pytest.raises(kind, match=said) as refused:
            try_redis(client_for(f"redis://127.0.0.1:{port}/0"), "kaption:")
        assert "\n" not in str(refused.value)
        assert said in (ping(client_for(f"redis://127.0.0.1:{port}/0")) or "")


def test_tls_on_a_plain_port_is_one_line_that_names_the_scheme(valkey, monkeypatch):
    monkeypatch.setattr(client, "ATTEMPTS", 0)
    monkeypatch.setattr(client, "REPLY_TIMEOUT_S", 0.5)
    with pytest.raises(Retry, match="rediss:// where it speaks TLS") as refused, redis_errors():
        client_for(valkey.url.replace("redis://", "rediss://")).ping()
    assert "\n" not in str(refused.value)


def test_an_error_of_our_own_code_is_not_taken_for_an_answer(redis_url):
    def wrong() -> None:
        client_for(redis_url).ping()
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"), redis_errors():
        wrong()
