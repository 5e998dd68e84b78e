"""Makes Redis clients, and turns redis-py's errors into Retry and Fatal."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kaption.connections.errors import Fatal, Retry
from kaption.connections.settings import RedisConnection
from kaption.connections.tls import setting, tls_context, tls_refusal

if TYPE_CHECKING:
    import redis

    Keyspace = tuple[redis.Redis, str]
    """A client, and the prefix of all keys."""

CONNECT_TIMEOUT_S = 2.0
REPLY_TIMEOUT_S = 10.0
"""Longer than the slowest script takes on a busy server. It bounds the wait for a silent server."""
ATTEMPTS = 3
"""redis-py sends a command again after it lost the connection. Repeated writes are harmless,
because every write of ours is idempotent."""
HEALTH_CHECK_S = 30

_TRANSIENT = ("BUSY", "MISCONF", "NOREPLICAS", "TRYAGAIN", "LOADING", "UNBLOCKED")
_TRIAL_S = 10
_URL = setting("redis", "url")


def connect_redis(connection: RedisConnection) -> redis.Redis:
    """A client that any thread may use. It connects at its first command.

    Raises Fatal on settings that cannot be used.
    """
    import redis
    from redis.backoff import ExponentialWithJitterBackoff

    if connection.uses_tls:
        tls_context("redis", connection)
    backoff = ExponentialWithJitterBackoff(base=0.05, cap=1.0)
    try:
        return redis.Redis.from_url(
            connection.url.get_secret_value(),
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=REPLY_TIMEOUT_S,
            health_check_interval=HEALTH_CHECK_S,
            retry=redis.retry.Retry(backoff, ATTEMPTS),
            decode_responses=False,
            **_options(connection),
        )
    except ValueError:
        # Neither quote nor chain the parser's error: it may hold part of a password.
        raise Fatal(
            f"{_URL} cannot be used: give redis://[user:password@]host:port/number, with the "
            "password percent-encoded, or in redis.password"
        ) from None


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turn redis-py's errors into Retry and Fatal. Other errors pass through unchanged."""
    from redis import exceptions as raised

    try:
        yield
    except raised.NoPermissionError as error:
        raise Fatal(
            f"Redis refuses a command to the user of {setting('redis', 'username')}: {error}; its "
            "ACL needs the keys that start with redis.key_prefix, plain and in braces, and the "
            "commands for strings, hashes, lists, sets, scripts and INFO"
        ) from error
    except (
        raised.AuthenticationError,
        raised.AuthorizationError,
        raised.AuthenticationWrongNumberOfArgsError,
    ) as error:
        raise Fatal(
            f"Redis refuses {setting('redis', 'password')} (or the one in redis.url): {error}; "
            "check user and password"
        ) from error
    except (
        raised.ConnectionError,  # also LOADING and a full connection pool
        raised.TimeoutError,
        raised.ReadOnlyError,
        raised.OutOfMemoryError,
        raised.ClusterDownError,  # also MASTERDOWN
        raised.TryAgainError,
    ) as error:
        if wrong := tls_refusal(error, setting("redis", "ca_file"), _URL, "the Redis server"):
            raise Fatal(wrong) from error
        raise Retry(f"Redis: {error or type(error).__name__}") from error
    except raised.AskError as error:  # also MOVED
        raise Fatal(
            "Redis runs as a cluster, and the dedup scripts need one server: point redis.url at a "
            "single server, or at a primary with replicas behind one address"
        ) from error
    except raised.ResponseError as error:
        text = str(error)
        if text.startswith(_TRANSIENT):
            raise Retry(f"Redis: {text}") from error
        if "DB index is out of range" in text:
            raise Fatal(f"Redis: {text}; correct the database number in redis.url") from error
        raise


def ping(client: redis.Redis) -> str | None:
    """None when the server answers a PING, else the error."""
    try:
        with redis_errors():
            client.ping()
    except (Retry, Fatal) as error:
        return str(error)
    return None


def try_redis(client: redis.Redis, key_prefix: str) -> None:
    """Send once each kind of command that the stages send. Raises Retry and Fatal.

    The keys that it writes expire after a few seconds.
    """
    name = f"trial:{uuid.uuid4().hex}"
    key, claim = f"{key_prefix}{name}", f"{{{key_prefix}}}{name}"
    with redis_errors(), client.pipeline(transaction=False) as pipe:
        pipe.info("memory")
        pipe.eval(f"return redis.call('SET', KEYS[1], '1', 'EX', {_TRIAL_S})", 1, key)
        pipe.mget([key])
        pipe.hsetnx(claim, "field", "1")
        pipe.expire(claim, _TRIAL_S)
        pipe.lrange(f"{claim}:list", 0, 0)
        pipe.sadd(f"{claim}:set", "1")
        pipe.smismember(f"{claim}:set", ["1"])
        pipe.delete(f"{claim}:set")
        pipe.execute()


def _options(connection: RedisConnection) -> dict[str, str]:
    """User, password and TLS files, as far as they are set."""
    password = connection.password
    credentials = {
        "username": connection.username,
        "password": password.get_secret_value() if password else None,
    }
    in_url = "@" in urlsplit(connection.url.get_secret_value()).netloc
    if in_url and any(value is not None for value in credentials.values()):
        raise Fatal(
            f"{_URL} holds a user or password, and redis.username or redis.password is set too: "
            "keep one"
        )
    files = {
        "ssl_ca_certs": connection.ca_file,
        "ssl_certfile": connection.certificate_file,
        "ssl_keyfile": connection.key_file,
    }
    return {name: value for name, value in (credentials | files).items() if value is not None}
