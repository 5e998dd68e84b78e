"""Makes Redis clients, and turns redis-py's errors into Retry and Fatal."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from prometheus_client import Histogram

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

REDIS_SECONDS = Histogram(
    "kaption_redis_seconds",
    "Seconds of one call to Redis, which may hold several commands. Rising: look at the server's "
    "processor, its slow log and the network.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10),
)

_TRIAL_S = 10
_URL = setting("redis", "url")
_TRANSIENT = {
    "BUSY": "SCRIPT KILL ends the script",
    "MISCONF": "give its disk room",
    "NOREPLICAS": "bring its replicas back",
    "LOADING": "wait until it has read its data",
    "NOSCRIPT": "repeating helps",
    "TRYAGAIN": "repeating helps",
    "UNBLOCKED": "repeating helps",
}
"""How errors begin that time mends, with what helps."""


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


def keyspace(connection: RedisConnection) -> Keyspace:
    """A client, and what the names of its keys begin with: the first arguments of a store."""
    return connect_redis(connection), connection.key_prefix


def connect_all(connection: RedisConnection) -> list[redis.Redis]:
    """A client of the server, and one of each further server that has claims."""
    urls = (connection.url, *connection.claim_urls)
    return [connect_redis(connection.model_copy(update={"url": url})) for url in urls]


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turn redis-py's errors into Retry and Fatal.

    A key that holds another type passes unchanged: it concerns one record, not the server.
    """
    from redis import exceptions as raised

    began = time.perf_counter()
    try:
        yield
        REDIS_SECONDS.observe(time.perf_counter() - began)
    except raised.NoPermissionError as error:
        raise Fatal(
            f"Redis refuses a command to the user of {setting('redis', 'username')}: {error}; its "
            "ACL needs the keys that start with redis.key_prefix, plain and in braces, and the "
            "commands for strings, hashes, lists, sets, sorted sets, scripts and INFO"
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
        raised.NoScriptError,
    ) as error:
        if wrong := tls_refusal(error, setting("redis", "ca_file"), _URL, "the Redis server"):
            raise Fatal(wrong) from error
        raise Retry(f"Redis: {error or type(error).__name__}: {_helps(error)}") from error
    except raised.AskError as error:  # also MOVED
        raise Fatal(
            "Redis runs as a cluster, and the dedup scripts need one server: point redis.url at a "
            "single server, or at a primary with replicas behind one address"
        ) from error
    except raised.ResponseError as error:
        # redis-py puts the command before an error of a pipeline, and with it bytes of its values.
        text = str(error).rpartition("caused error: ")[2]
        for beginning, helps in _TRANSIENT.items():
            if text.startswith(beginning):
                raise Retry(f"Redis: {_line(text)}: {helps}") from error
        if "DB index is out of range" in text:
            raise Fatal(f"Redis: {text}; correct the database number in redis.url") from error
        if "WRONGTYPE" in text:
            raise
        advice = f"repeating does not help: correct the server, or {_URL}"
        if text.startswith("DENIED"):  # protected mode
            advice = f"give the server a password, and {setting('redis', 'password')}"
        refused = _line(text) or "no reason given"
        raise Fatal(f"Redis refuses a command: {refused}; {advice}") from error
    except raised.InvalidResponse as error:
        raise Fatal(f"what answers is not Redis ({_line(error)}): correct {_URL}") from error
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        # redis-py takes the answer of another server apart without a check.
        if not _in_redis(error):
            raise
        raise Fatal(f"what answers is not Redis ({_line(error)}): correct {_URL}") from error


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
        pipe.zadd(f"{claim}:sorted", {"1": 0})
        pipe.delete(f"{claim}:set", f"{claim}:sorted")
        pipe.execute()


def forget(connection: RedisConnection) -> None:
    """Delete every key that begins with the prefix, plain and in braces. Raises Retry and Fatal."""
    for client in connect_all(connection):
        with redis_errors():
            for prefix in (connection.key_prefix, f"{{{connection.key_prefix}}}"):
                for key in client.scan_iter(match=f"{prefix}*", count=1000):
                    client.unlink(key)


def forget_keys(client: redis.Redis, keys: Collection[str], *, dry_run: bool) -> int:
    """Delete the keys, or only count them. Returns how many there were. Raises Retry."""
    if not keys:
        return 0
    with redis_errors():
        return (client.exists if dry_run else client.delete)(*keys)


def _helps(error: Exception) -> str:
    """What ends an error for which we wait."""
    from redis import exceptions as raised

    if "max number of clients" in str(error):
        return "raise its maxclients"
    for kind, helps in (
        (raised.BusyLoadingError, "wait until it has read its data"),
        (raised.ReadOnlyError, f"point {_URL} at the primary and not at a replica"),
        (raised.MasterDownError, f"bring its primary back, or point {_URL} at it"),
        (raised.OutOfMemoryError, "raise its maxmemory"),
        ((raised.TryAgainError, raised.NoScriptError), "repeating helps"),
        (raised.ClusterDownError, f"point {_URL} at a single server"),
    ):
        if isinstance(error, kind):
            return helps
    return f"start it, or correct {_URL}, which begins with rediss:// where it speaks TLS"


def _in_redis(error: Exception) -> bool:
    """Whether it was raised inside redis-py, or by what that calls."""
    frames = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
    return any(name.startswith("redis.") for name in frames)


def _line(error: object) -> str:
    """The first sentence: an unknown server may write pages, on several lines."""
    return " ".join(str(error).split()).partition(". ")[0][:200]


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
