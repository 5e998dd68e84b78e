"""The one place that makes a Redis client and sorts its errors by what to do about them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from schemas import RedisConnection
from workers.runtime.stage import Fatal, Retry

if TYPE_CHECKING:
    import redis

CONNECT_TIMEOUT_S = 2.0
REPLY_TIMEOUT_S = 10.0
"""Longer than the slowest script on a busy server; a silent server is noticed after it."""
ATTEMPTS = 3
"""redis-py repeats a command that lost its connection, writes too: every write is idempotent."""
HEALTH_CHECK_S = 30

_TRANSIENT = ("BUSY", "MISCONF", "NOREPLICAS", "TRYAGAIN", "LOADING", "UNBLOCKED")


def connect(connection: RedisConnection) -> redis.Redis:
    """A client that any thread may use; nothing is sent yet. Raises Fatal on a bad URL."""
    import redis
    from redis.backoff import ExponentialWithJitterBackoff

    backoff = ExponentialWithJitterBackoff(base=0.05, cap=1.0)
    try:
        return redis.Redis.from_url(
            connection.url.get_secret_value(),
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=REPLY_TIMEOUT_S,
            health_check_interval=HEALTH_CHECK_S,
            retry=redis.retry.Retry(backoff, ATTEMPTS),
            decode_responses=False,
        )
    except ValueError as error:
        raise Fatal(
            f"redis.url cannot be used: {error}; give redis://[user:password@]host:port/number"
        ) from error


@contextmanager
def translated() -> Iterator[None]:
    """Turn redis-py's errors into Retry and Fatal; a fault of ours passes through unchanged."""
    from redis import exceptions as raised

    try:
        yield
    except (
        raised.AuthenticationError,
        raised.AuthorizationError,
        raised.AuthenticationWrongNumberOfArgsError,
        raised.NoPermissionError,
    ) as error:
        raise Fatal(
            f"Redis refuses us: {error}; check user and password in redis.url and the user's ACL "
            "(keys below redis.key_prefix, commands of strings, hashes, lists, sets and scripts)"
        ) from error
    except (
        raised.ConnectionError,  # also LOADING and a full connection pool
        raised.TimeoutError,
        raised.ReadOnlyError,
        raised.OutOfMemoryError,
        raised.ClusterDownError,  # also MASTERDOWN
        raised.TryAgainError,
    ) as error:
        raise Retry(f"Redis: {error or type(error).__name__}") from error
    except raised.AskError as error:  # also MOVED
        raise Fatal(
            "Redis runs as a cluster, which dedup scripts cannot use: point redis.url at a single "
            "server, or a primary with replicas behind one address"
        ) from error
    except raised.ResponseError as error:
        text = str(error)
        if text.startswith(_TRANSIENT):
            raise Retry(f"Redis: {text}") from error
        if "DB index is out of range" in text:
            raise Fatal(f"Redis: {text}; correct the database number in redis.url") from error
        raise


def answers(client: redis.Redis) -> str | None:
    """None when the server answers a PING, else what is wrong."""
    try:
        with translated():
            client.ping()
    except (Retry, Fatal) as error:
        return str(error)
    return None
