"""`kaption work`: work on one stage, or on all of them, until stopped."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from kaption.connections.errors import Retry
from kaption.connections.kafka.access import check_access
from kaption.connections.kafka.topics import TopicAdmin, TopicError
from kaption.connections.settings import KafkaConnection
from kaption.objectstore import open_store
from kaption.schemas.topics import DEAD, REJECTED
from kaption.workers.cli.common import Config, on_stop
from kaption.workers.errors import UserError
from kaption.workers.runtime import logs
from kaption.workers.runtime.health import HealthServer
from kaption.workers.runtime.pipeline import Pipeline
from kaption.workers.settings import Settings, load_settings
from kaption.workers.stores.client import connect_redis, try_redis
from kaption.workers.wiring import STAGES, build_worker, require_stage

if TYPE_CHECKING:
    from kaption.workers.runtime.worker import Worker


_log = logging.getLogger(__name__)


def command(
    stage: Annotated[
        str, typer.Argument(help=f"{', '.join(STAGES)}, all, or your own as package.module:Name.")
    ],
    config: Config = None,
) -> None:
    """Run a worker of a stage until SIGTERM.

    Workers of one stage share its partitions: start more for more throughput.
    """
    if stage != "all":
        require_stage(stage)
    settings = load_settings(config)
    logs.configure()
    names = STAGES if stage == "all" else (stage,)
    # A stage of the user's own looks for what it needs in its `setup`.
    _check_servers(settings, redis=any(name in STAGES and name != "sink" for name in names))
    workers = {name: build_worker(name, settings) for name in names}
    _check_topics(settings.kafka, workers.values())
    pipeline = Pipeline(workers)
    on_stop(pipeline.stop)
    with HealthServer(list(workers.values()), settings.health.port, settings.health.host):
        pipeline.start()
        pipeline.wait()


def _check_servers(settings: Settings, *, redis: bool) -> None:
    """Raise Fatal if Kafka, the store or (with `redis`) Redis refuses the log-in.

    A server that does not answer is only logged: workers wait for it.
    """
    if seen := check_access(settings.kafka):
        _log.warning("no broker yet", extra={"error": seen})
    for check in (_check_store, _check_redis) if redis else (_check_store,):
        try:
            check(settings)
        except Retry as error:
            _log.warning("a server does not answer yet", extra={"error": str(error)})


def _check_store(settings: Settings) -> None:
    # GET and not HEAD: an answer to HEAD has no body that says why the store refuses.
    with suppress(KeyError):
        open_store(settings.store).get("trial")


def _check_redis(settings: Settings) -> None:
    try_redis(connect_redis(settings.redis), settings.redis.key_prefix)


def _check_topics(kafka: KafkaConnection, workers: Iterable[Worker]) -> None:
    """Raise UserError if a topic is missing or too small: no worker can repair that."""
    topics = {REJECTED, DEAD}
    for worker in workers:
        topics |= {*worker.stage.inputs, *worker.stage.outputs}
    try:
        with TopicAdmin(kafka) as admin:
            found = [each for each in admin.check(sorted(topics, key=str)) if each.stops_work]
    except TopicError as error:
        # Workers wait for a missing broker, and need no right to read the settings of topics.
        _log.warning("topics not checked", extra={"error": str(error)})
        return
    if found:
        raise UserError("; ".join(map(str, found)))
