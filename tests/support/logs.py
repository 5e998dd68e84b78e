"""What Kaption logs while a block of a test runs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_USUAL = {*vars(logging.makeLogRecord({})), "message"}


@contextmanager
def logged() -> Iterator[list[dict[str, Any]]]:
    """Collect each line as its message, ``event``, beside the fields that were given with it."""
    lines: list[dict[str, Any]] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            fields = {key: value for key, value in vars(record).items() if key not in _USUAL}
            lines.append({"event": record.getMessage(), **fields})

    handler, logger = Collect(), logging.getLogger("kaption")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
