"""What became of each input of a run: read from the topics, so it is what a user would find."""

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
    """Counts of terminal outcomes; `seen` has one byte per offset of each raw partition."""

    clean: int = 0
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(stage, reason) to count."""
    dead: Counter[str] = field(default_factory=Counter)
    """Stage to count."""
    kept: Counter[str] = field(default_factory=Counter)
    """Kind of the best caption to count."""
    score_before: float = 0.0
    score_after: float = 0.0
    compared: int = 0
    """Clean pairs whose alt text had a score: the ones that `score_*` sum over."""
    seen: dict[int, bytearray] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Outcomes, counting a doubled one twice."""
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
        """Inputs without an outcome, or with more than one; empty when all is right."""
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
    """Reads the terminal topics of a run as they grow, into a Tally and to `on_read`."""

    def __init__(self, connection: KafkaConnection, on_read: Callable[[Read], None]) -> None:
        super().__init__(name="tally", daemon=True)
        self.tally = Tally()
        self.error: Exception | None = None
        self._connection = connection
        self._on_read = on_read
        self._stop_reading = threading.Event()

    def run(self) -> None:
        """Follow until `finish`."""
        try:
            with TopicReader(
                self._connection, (CLEAN, REJECTED, DEAD), follow_until=self._stop_reading
            ) as reader:
                for read in reader:
                    self.tally.add(read)
                    self._on_read(read)
        except Exception as error:  # noqa: BLE001  # shown by the run, which watches this thread
            self.error = error

    def finish(self) -> None:
        """Stop following and wait for the thread."""
        self._stop_reading.set()
        self.join()
