"""Runs `kaption produce` in processes that start quickly, for tests that kill many of them."""

import multiprocessing
import os
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_FORK = multiprocessing.get_context("forkserver")
_FORK.set_forkserver_preload(["kaption.workers.cli.app", "kaption.producers.sources"])


def start(
    environment: dict[str, str], arguments: Sequence[str], log: Path, batch_records: int = 1_000
) -> ForkServerProcess:
    """Start the command; it writes a line to `log` with each commit."""
    log.unlink(missing_ok=True)
    process = _FORK.Process(target=_produce, args=(environment, arguments, log, batch_records))
    process.start()
    return process


def _produce(
    environment: dict[str, str], arguments: Sequence[str], log: Path, batch_records: int
) -> None:
    from kaption.producers.feed import batches
    from kaption.workers.cli import common
    from kaption.workers.cli.app import app

    out = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ.update(environment)
    batches._BATCH_RECORDS = batch_records
    common._LINE_S = 0
    app(["produce", *arguments])
