"""The servers of a run: the user's own where given, small local ones where not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import SecretStr

from workers.settings import Settings

_SESSION_TIMEOUT_S = 6.0


def store_folder(out: Path) -> Path:
    """Where a run without an object store of its own keeps blobs and shards."""
    return out / "store"


@contextmanager
def servers(
    settings: Settings, out: Path, kafka: str | None, redis: str | None, store: str | None
) -> Iterator[Settings]:
    """Settings that point to running servers, with names of this run alone.

    Topics, groups and Redis keys get a prefix of their own, so that a second run on the same
    servers neither meets the first one's offsets nor its dedup claims.
    """
    name = f"run-{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        runtime = settings.runtime
        if kafka is None:
            from workers.local import Tansu

            kafka = stack.enter_context(Tansu()).bootstrap
            # Tansu forms a group only after about half of it.
            runtime = runtime.model_copy(update={"session_timeout_s": _SESSION_TIMEOUT_S})
        if redis is None:
            from workers.local import Valkey

            redis = stack.enter_context(Valkey()).url
        yield settings.model_copy(
            update={
                "kafka": settings.kafka.model_copy(
                    update={"bootstrap": kafka, "topic_prefix": f"{name}."}
                ),
                "runtime": runtime,
                "redis": settings.redis.model_copy(
                    update={"url": SecretStr(redis), "key_prefix": f"kaption:{name}:"}
                ),
                "store": settings.store.model_copy(update={"url": store or str(store_folder(out))}),
            }
        )
