"""Counts the outcomes of a run. They are read from the topics, as a user would read them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from kaption.connections.settings import KafkaConnection
from kaption.consumers import Read, TopicReader
from kaption.schemas import CleanPair, DeadLetter, Position, RejectedPair, origin_of
from kaption.schemas.topics import CLEAN, DEAD, REJECTED
from kaption.workers.report.census import Census


@dataclass
class Tally(Census):
    """Counts of the outcomes of a run, and which input has how many."""

    seen: bytearray = field(default_factory=bytearray)
    """How many outcomes each input has, by its number; 255 at most."""

    def add(self, read: Read) -> None:
        """Count one message of a terminal topic."""
        if not isinstance(read.record, CleanPair | RejectedPair | DeadLetter):
            raise TypeError(f"{read.position} holds no terminal outcome: {read.record}")
        self.mark(origin_of_read(read).offset)
        self.count(read.record)

    @property
    def inputs(self) -> int:
        """How many inputs have an outcome."""
        return len(self.seen) - self.seen.count(0)

    def faults(self, published: int) -> list[str]:
        """Sentences about inputs without an outcome or with several. Empty when all is right."""
        more = self.inputs - self.seen.count(1)
        faults = []
        if more:
            faults.append(f"{more} inputs have more than one outcome")
        if self.inputs != published:
            faults.append(f"{published - self.inputs} of {published} inputs have no outcome")
        return faults

    def mark(self, number: int) -> None:
        """Note one outcome of this input."""
        if number >= len(self.seen):
            self.seen.extend(bytes(number + 1 - len(self.seen)))
        self.seen[number] = min(255, self.seen[number] + 1)


def origin_of_read(read: Read) -> Position:
    """The origin of an outcome; in a run its offset is the number of the input."""
    if isinstance(read.record, DeadLetter):
        letter = read.record
        headers = [(header.key, header.value) for header in letter.headers]
        return origin_of(headers, letter.position)
    return origin_of(read.headers, read.position)


class Follower(threading.Thread):
    """A thread that follows the terminal topics of a run.

    It counts every message in `tally` and passes it to `on_read`.
    """

    def __init__(
        self, connection: KafkaConnection, tally: Tally, on_read: Callable[[Read], None]
    ) -> None:
        super().__init__(name="tally", daemon=True)
        self.tally = tally
        self.error: Exception | None = None
        self._connection = connection
        self._on_read = on_read
        self._stop_reading = threading.Event()

    def run(self) -> None:
        """Follow the topics until `finish` is called."""
        try:
            with TopicReader(
                self._connection, (CLEAN, REJECTED, DEAD), follow_until=self._stop_reading
            ) as reader:
                for read in reader:
                    self.tally.add(read)
                    self._on_read(read)
        except Exception as error:  # noqa: BLE001  # the run watches `error` and raises it
            self.error = error

    def finish(self) -> None:
        """Stop following, and wait until the thread has ended."""
        self._stop_reading.set()
        self.join()
