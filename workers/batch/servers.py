"""The servers of a run: the user's own where given, small local ones where not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from kaption.connections.settings import KafkaConnection, RedisConnection, StoreConnection
from kaption.workers.errors import UserError
from kaption.workers.settings import Settings

_SESSION_TIMEOUT_S = 6.0

C = TypeVar("C", bound=BaseModel)


def store_folder(out: Path) -> Path:
    """Where a run without an object store of its own keeps blobs and shards."""
    return out / "store"


@contextmanager
def servers(
    settings: Settings, out: Path, kafka: str | None, redis: str | None, store: str | None
) -> Iterator[Settings]:
    """Settings that point to running servers, with names of this run alone.

    Topics, groups and Redis keys get a prefix of their own, and so do the shards in a store that
    is given: a second run on the same servers neither meets the first one's offsets nor its dedup
    claims nor its shards. Servers that are given are reached as the settings say (TLS, passwords);
    local ones know none of that. Raises UserError where the settings do not fit what is given.
    """
    name = f"run-{uuid.uuid4().hex[:8]}"
    topics, keys = f"{name}.", f"kaption:{name}:"
    # Whoever runs over a file is told of every bad line in it: many of them do not stop the run.
    # A stage that is broken does (see Bisection).
    runtime = settings.runtime.model_copy(update={"dead_letter_rate": None})
    sink = settings.sink
    with ExitStack() as stack:
        if kafka is None:
            from kaption.workers.local import Tansu

            tansu = stack.enter_context(Tansu())
            broker = KafkaConnection(bootstrap=tansu.bootstrap, topic_prefix=topics)
            # Tansu forms a group only after about half of it.
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
    """`connection` to the user's server instead."""
    try:
        return type(connection).model_validate(dict(connection) | changed)
    except ValidationError as error:
        faults = "; ".join(fault["msg"] for fault in error.errors(include_url=False))
        raise UserError(f"{option} does not fit the other settings: {faults}") from error
