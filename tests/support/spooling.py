"""A spool with numbered messages, and its files as a killed process leaves them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kaption.connections.kafka.messages import Message
from kaption.producers.spool.spool import Spool

MIB = 1024 * 1024
ALL = 1024 * MIB


def message(number: int, size: int = 10) -> Message:
    return Message(bytes(size), str(number).encode(), (("kaption-schema", b"RawPair/1"),))


@contextmanager
def spool(folder: Path, max_bytes: int = 10 * MIB) -> Iterator[Spool]:
    opened = Spool(folder, max_bytes)
    try:
        yield opened
    finally:
        opened.close()


def keys(opened: Spool, max_bytes: int = ALL) -> list[int]:
    return [int(each.key or b"-1") for _, each in opened.read(max_bytes)]


def fill(opened: Spool, count: int, size: int = 10) -> None:
    for number in range(count):
        opened.append(message(number, size), 0)


def acknowledge(opened: Spool, count: int) -> None:
    opened.acknowledge(opened.read(ALL)[count - 1][0])


def left_by_a_kill(folder: Path, copy: Path) -> Path:
    """The files of a spool that is open, as a killed process would leave them."""
    shutil.copytree(folder, copy)
    return copy
