"""Counts the outcomes of a run. They are read from the topics, as a user would read them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from kaption.connections.settings import KafkaConnection
from kaption.consumers import Read, TopicReader
from kaption.schemas import CleanPair, DeadLetter, Position, RejectedPair, origin_of
from kaption.schemas.topics import CLEAN, DEAD, REJECTED


@dataclass
class Tally:
    """Counts of terminal outcomes: clean pairs, rejections and dead letters."""

    clean: int = 0
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Rejections by (stage, reason)."""
    dead: Counter[str] = field(default_factory=Counter)
    """Dead letters by stage."""
    kept: Counter[str] = field(default_factory=Counter)
    """Clean pairs by the kind of their best caption."""
    score_before: float = 0.0
    """Sum of the alt texts' scores, over `compared` pairs."""
    score_after: float = 0.0
    """Sum of the best captions' scores, over `compared` pairs."""
    compared: int = 0
    """Clean pairs whose alt text has a score."""
    seen: dict[int, bytearray] = field(default_factory=dict)
    """For each partition of pairs.raw the number of outcomes of each offset, 255 at most."""

    @property
    def total(self) -> int:
        """All outcomes, also second ones of the same input."""
        return self.clean + self.rejected.total() + self.dead.total()

    def add(self, read: Read) -> None:
        """Count one message of a terminal topic."""
        self._mark(_origin(read))
        match read.record:
            case CleanPair() as pair:
                self.clean += 1
                best = pair.captions[0]
                self.kept[best.kind.value] += 1
                if pair.original_score is not None and best.score is not None:
                    self.compared += 1
                    self.score_before += pair.original_score
                    self.score_after += best.score
            case RejectedPair() as pair:
                self.rejected[pair.stage, pair.reason.value] += 1
            case DeadLetter() as letter:
                self.dead[letter.stage] += 1
            case other:
                raise TypeError(f"{read.position} holds no terminal outcome: {other}")

    def faults(self, published: int) -> list[str]:
        """Sentences about inputs without an outcome or with several. Empty when all is right."""
        once = sum(counts.count(1) for counts in self.seen.values())
        more = sum(1 for counts in self.seen.values() for count in counts if count > 1)
        faults = []
        if more:
            faults.append(f"{more} inputs have more than one outcome")
        if once + more != published:
            faults.append(f"{published - once - more} of {published} inputs have no outcome")
        return faults

    def _mark(self, origin: Position) -> None:
        counts = self.seen.setdefault(origin.partition, bytearray())
        if origin.offset >= len(counts):
            counts.extend(bytes(origin.offset + 1 - len(counts)))
        counts[origin.offset] = min(255, counts[origin.offset] + 1)


def _origin(read: Read) -> Position:
    if isinstance(read.record, DeadLetter):
        letter = read.record
        headers = [(header.key, header.value) for header in letter.headers]
        return origin_of(headers, Position(letter.topic, letter.partition, letter.offset))
    return origin_of(read.headers, read.position)


class Follower(threading.Thread):
    """A thread that follows the terminal topics of a run.

    It counts every message in `tally` and passes it to `on_read`.
    """

    def __init__(self, connection: KafkaConnection, on_read: Callable[[Read], None]) -> None:
        super().__init__(name="tally", daemon=True)
        self.tally = Tally()
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
