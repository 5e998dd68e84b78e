"""The servers of a run: the user's own, or small local ones in their place."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from kaption.connections.settings import KafkaConnection, RedisConnection, StoreConnection
from kaption.workers.settings import Settings, UserError

_SESSION_TIMEOUT_S = 6.0

C = TypeVar("C", bound=BaseModel)


def store_folder(out: Path) -> Path:
    """The folder for blobs and shards of a run without an object store."""
    return out / "store"


@contextmanager
def servers(
    settings: Settings, out: Path, kafka: str | None, redis: str | None, store: str | None
) -> Iterator[Settings]:
    """Start the missing servers. Yields settings that point to the run's servers.

    `kafka`, `redis` and `store` are the addresses of the user's servers; None starts a local server
    or takes a folder below `out`. The user's servers keep the TLS and password settings, local
    servers have none.

    Topics, consumer groups, Redis keys and the shards in the user's store get a prefix of this run
    alone, so that a second run on the same servers does not meet them.

    Raises UserError if an address does not fit the other settings, ServerError and MissingServer.
    """
    name = f"run-{uuid.uuid4().hex[:8]}"
    topics, keys = f"{name}.", f"kaption:{name}:"
    # No limit on dead letters: the user is told of every bad line of the file, and many bad lines
    # must not stop the run. A broken stage still does (see Bisection).
    runtime = settings.runtime.model_copy(update={"dead_letter_rate": None})
    sink = settings.sink
    with ExitStack() as stack:
        if kafka is None:
            from kaption.workers.local import Tansu

            tansu = stack.enter_context(Tansu())
            broker = KafkaConnection(bootstrap=tansu.bootstrap, topic_prefix=topics)
            # Tansu takes about half of the session time-out to form a group.
            runtime = runtime.model_copy(update={"session_timeout_s": _SESSION_TIMEOUT_S})
        else:
            broker = _given("--kafka", settings.kafka, bootstrap=kafka, topic_prefix=topics)
        if redis is None:
            from kaption.workers.local import Valkey

            valkey = stack.enter_context(Valkey())
            server = RedisConnection(url=SecretStr(valkey.url), key_prefix=keys)
        else:
            server = _given("--redis", settings.redis, url=redis, key_prefix=keys)
        if store is None:
            objects = StoreConnection(url=str(store_folder(out)))
        else:
            objects = _given("--store", settings.store, url=store)
            sink = sink.model_copy(update={"prefix": f"{sink.prefix}/{name}"})
        yield settings.model_copy(
            update={
                "kafka": broker,
                "runtime": runtime,
                "redis": server,
                "store": objects,
                "sink": sink,
            }
        )


def _given(option: str, connection: C, **changed: str) -> C:
    """`connection` with the address of the user's server."""
    try:
        return type(connection).model_validate(dict(connection) | changed)
    except ValidationError as error:
        faults = "; ".join(fault["msg"] for fault in error.errors(include_url=False))
        raise UserError(f"{option} does not fit the other settings: {faults}") from error
