"""The servers of a run: the user's own, or small local ones in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from kaption.connections.errors import Fault
from kaption.connections.kafka.topics import TopicAdmin, TopicError
from kaption.connections.settings import KafkaConnection, RedisConnection, StoreConnection
from kaption.schemas import TOPICS
from kaption.schemas.faults import one_line
from kaption.workers.batch.journal import Journal
from kaption.workers.settings import Settings, UserError
from kaption.workers.wiring import STAGES

_SESSION_TIMEOUT_S = 6.0

C = TypeVar("C", bound=BaseModel)


def store_folder(out: Path) -> Path:
    """The folder for blobs and shards of a run without an object store."""
    return out / "store"


class ServerAddresses(NamedTuple):
    """The user's servers. None: a local server is started, or a folder below OUT is the store."""

    kafka: str | None = None
    redis: str | None = None
    store: str | None = None


@contextmanager
def servers(settings: Settings, journal: Journal, given: ServerAddresses) -> Iterator[Settings]:
    """Start the missing servers. Yields settings that point to the run's servers.

    The user's servers keep the TLS and password settings, local servers have none.

    Topics, consumer groups, Redis keys and the shards in the user's store get a prefix of this run
    alone, so that a second run on the same servers does not meet them. Topics and groups are of one
    attempt and are deleted at its end.

    Raises UserError if an address does not fit the other settings, ServerError and MissingServer.
    """
    keys = f"kaption:{journal.name}:"
    # No limit on dead letters: the user is told of every bad line of the file, and many bad lines
    # must not stop the run. A broken stage still does (see Bisection).
    runtime = settings.runtime.model_copy(update={"dead_letter_rate": None})
    sink = settings.sink
    with ExitStack() as stack:
        topics = f"{journal.name}-{journal.attempt}."
        if given.kafka is None:
            from kaption.workers.local import Tansu

            tansu = stack.enter_context(Tansu())
            broker = KafkaConnection(bootstrap=tansu.bootstrap, topic_prefix=topics)
            # Tansu takes about half of the session time-out to form a group.
            runtime = runtime.model_copy(update={"session_timeout_s": _SESSION_TIMEOUT_S})
        else:
            broker = _given("--kafka", settings.kafka, bootstrap=given.kafka, topic_prefix=topics)
        if given.redis is None:
            from kaption.workers.local import Valkey

            valkey = stack.enter_context(Valkey(journal.servers / "valkey", durable=True))
            server = RedisConnection(url=SecretStr(valkey.url), key_prefix=keys)
        else:
            server = _given("--redis", settings.redis, url=given.redis, key_prefix=keys)
        if given.store is None:
            objects = StoreConnection(url=str(store_folder(journal.out)))
        else:
            objects = _given("--store", settings.store, url=given.store)
            sink = sink.model_copy(update={"prefix": f"{sink.prefix}/{journal.name}"})
        yield settings.model_copy(
            update={
                "kafka": broker,
                "runtime": runtime,
                "redis": server,
                "store": objects,
                "sink": sink,
            }
        )


def clean_up(settings: Settings, journal: Journal, say: Callable[[str], None]) -> None:
    """Delete the topics and groups of all attempts on the user's broker, or name what stays."""
    for attempt in range(1, journal.attempt + 1):
        prefix = f"{journal.name}-{attempt}."
        broker = settings.kafka.model_copy(update={"topic_prefix": prefix})
        try:
            with TopicAdmin(broker) as admin:
                admin.delete(TOPICS, STAGES)
        except (TopicError, Fault) as error:
            say(
                f"topics and groups that begin with {prefix} are left at {broker.bootstrap}"
                f" ({error}): KAPTION_KAFKA__TOPIC_PREFIX={prefix} kaption topics delete"
            )


def _given(option: str, connection: C, **changed: str) -> C:
    """`connection` with the address of the user's server."""
    try:
        return type(connection).model_validate(dict(connection) | changed)
    except ValidationError as error:
        told = one_line(error, option, values=False)
        raise UserError(f"{option} does not fit the other settings: {told}") from error
