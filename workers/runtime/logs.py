"""Structured logs: readable lines on a terminal, JSON everywhere else."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import TextIO

import structlog

from kaption.workers.runtime.entry import about, current

_CHATTY = ("kafka", "botocore", "urllib3", "redis", "huggingface_hub", "transformers")
_TELL_STEPS = ("uvicorn", "httpx")
"""Libraries that tell each step of theirs. A person at a terminal sees their warnings alone."""
_KAFKA_LINES = 20
_KAFKA_EVERY_S = 10.0


class RateLimit(logging.Filter):
    """Lets each message pass `lines` times per `every_s` seconds, then says how many it held back.

    Messages are told apart before their arguments are filled in: in a reset loop kafka-python
    writes thousands of lines a second that differ in a port number only.
    """

    def __init__(self, lines: int, every_s: float, clock: Callable[[], float]) -> None:
        super().__init__()
        self._lines = lines
        self._every_s = every_s
        self._clock = clock
        self._counts: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        now, key = self._clock(), str(record.msg)
        began, count = self._counts.get(key, (now, 0))
        if now - began >= self._every_s:
            if count > self._lines:
                record.msg = f"{record.msg} (and {count - self._lines} more like it before)"
            began, count = now, 0
        self._counts[key] = (began, count + 1)
        return count < self._lines


def _name_record(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Add pair_id, origin and trace_id of the record at which the thread is, if it is at one."""
    if current.entry is not None:
        for name, value in about(current.entry).items():
            event.setdefault(name, value)
    return event


def configure(stream: TextIO = sys.stderr) -> None:
    """Set up the loggers of this process. Call it once, in a process that is ours.

    Every module logs through the standard library, with fields in `extra`, for some run in the
    user's process: there structlog would print to stdout and pass over the user's own set-up.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if stream.isatty() else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), _name_record, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    # The filter is on the handler, because a filter on the logger "kafka" does not see what its
    # child loggers write.
    limit = RateLimit(_KAFKA_LINES, _KAFKA_EVERY_S, time.monotonic)
    # A crawl of what no stage can read makes as many dead letters as records, and a collector that
    # is away fails every batch of spans.
    limited = ("kafka.", "opentelemetry.", "kaption.workers.runtime.outputs")
    handler.addFilter(lambda record: not record.name.startswith(limited) or limit.filter(record))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("kafka").setLevel(logging.WARNING)
    if stream.isatty():
        # Our own lines say which server is away; the libraries' tries would bury them.
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        for name in _TELL_STEPS:
            logging.getLogger(name).setLevel(logging.WARNING)
        # open_clip writes a dozen lines for each model through the root logger, as nobody else.
        handler.addFilter(lambda record: record.name != "root" or record.levelno > logging.INFO)
