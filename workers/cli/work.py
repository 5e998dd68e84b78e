"""`kaption work`: one stage, or all of them, until stopped."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Annotated

import typer

from workers.cli.errors import UserError
from workers.cli.options import Config
from workers.cli.pipeline import Pipeline
from workers.cli.wiring import STAGES, build_worker
from workers.runtime import logs
from workers.runtime.health import HealthServer
from workers.settings import load_settings


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
    workers = {name: build_worker(name, settings) for name in names}
    pipeline = Pipeline(workers)

    def stop(number: int, frame: FrameType | None) -> None:
        pipeline.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with HealthServer(list(workers.values()), settings.health.port, settings.health.host):
        pipeline.start()
        pipeline.wait()
