"""`kaption work`: one stage, or all of them, until stopped."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from schemas import KafkaConnection
from schemas.topics import DEAD, REJECTED
from workers.cli.access import check_servers
from workers.cli.errors import UserError
from workers.cli.options import Config
from workers.cli.pipeline import Pipeline
from workers.cli.wiring import STAGES, build_worker
from workers.runtime import logs
from workers.runtime.health import HealthServer
from workers.runtime.kafka.topics import TopicAdmin, TopicError
from workers.settings import load_settings

if TYPE_CHECKING:
    from workers.runtime.worker import Worker

_log = structlog.get_logger(__name__)


def command(
    stage: Annotated[str, typer.Argument(help=f"{', '.join(STAGES)} or all.")],
    config: Config = None,
) -> None:
    """Work on a stage until SIGTERM; more processes of the same stage share its partitions."""
    if stage != "all" and stage not in STAGES:
        raise UserError(f"no stage {stage!r}; there are {', '.join(STAGES)} and all")
    settings = load_settings(config)
    logs.configure()
    names = STAGES if stage == "all" else (stage,)
    check_servers(settings, redis=set(names) != {"sink"})
    workers = {name: build_worker(name, settings) for name in names}
    _check_topics(settings.kafka, workers.values())
    pipeline = Pipeline(workers)

    def stop(number: int, frame: FrameType | None) -> None:
        pipeline.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with HealthServer(list(workers.values()), settings.health.port, settings.health.host):
        pipeline.start()
        pipeline.wait()


def _check_topics(kafka: KafkaConnection, workers: Iterable[Worker]) -> None:
    """Raises UserError where a topic is missing or too narrow: no worker could mend that."""
    topics = {REJECTED, DEAD}
    for worker in workers:
        topics |= {*worker.stage.inputs, *worker.stage.outputs}
    try:
        with TopicAdmin(kafka) as admin:
            found = [each for each in admin.check(sorted(topics, key=str)) if each.stops_work]
    except TopicError as error:
        # The worker itself waits for the broker, and needs no right to read settings.
        _log.warning("topics not checked", error=str(error))
        return
    if found:
        raise UserError("; ".join(map(str, found)))
