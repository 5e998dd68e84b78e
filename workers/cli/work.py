"""`kaption work`: work on one stage, or on all of them, until stopped."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from kaption.connections.kafka.topics import TopicAdmin, TopicError
from kaption.connections.settings import KafkaConnection
from kaption.schemas.topics import DEAD, REJECTED
from kaption.workers.cli.common import Config, Models, check_servers, on_stop, toys
from kaption.workers.runtime import logs
from kaption.workers.runtime.gpu import export_gpus
from kaption.workers.runtime.health import HealthServer
from kaption.workers.runtime.pipeline import Pipeline
from kaption.workers.settings import Settings, UserError, load_settings, require_models
from kaption.workers.wiring import STAGES, build_worker, require_stage

if TYPE_CHECKING:
    from kaption.workers.runtime.worker import Worker


_log = logging.getLogger(__name__)


def command(
    stage: Annotated[
        str, typer.Argument(help=f"{', '.join(STAGES)}, all, or your own as package.module:Name.")
    ],
    models: Models = None,
    config: Config = None,
) -> None:
    """Run a worker of a stage until SIGTERM.

    Workers of one stage share its partitions: start more for more throughput.
    """
    if stage != "all":
        require_stage(stage)
    settings = load_settings(config, models)
    names = tuple(STAGES) if stage == "all" else (stage,)
    require_models(settings, names)
    logs.configure()
    if warning := toys(settings):
        _log.warning(warning)
    # A stage of the user's own looks for what it needs in its `setup`.
    workers = {name: build_worker(name, settings) for name in names}
    health = _health(list(workers.values()), settings)
    check_servers(settings, redis=any(name in STAGES and name != "sink" for name in names))
    _check_topics(settings.kafka, workers.values())
    pipeline = Pipeline(workers)
    on_stop(pipeline.stop)
    export_gpus()
    with health:
        pipeline.start()
        pipeline.wait()
    _log.info("stopped")


def _health(workers: Sequence[Worker], settings: Settings) -> HealthServer:
    """Take the port first, so that one in use is told before models are loaded."""
    host, port = settings.health.host, settings.health.port
    try:
        return HealthServer(workers, port, host)
    except OSError as error:
        raise UserError(
            f"health.port {port} of {host} cannot be used ({error.strerror}): set another"
            " KAPTION_HEALTH__PORT (0 for any), or correct KAPTION_HEALTH__HOST"
        ) from error


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
