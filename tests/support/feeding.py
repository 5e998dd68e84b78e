"""A source of numbered pairs, and what a feed of it published."""

from collections import Counter
from collections.abc import Callable, Iterator

from kaption.connections.settings import KafkaConnection
from kaption.consumers.topic.reader import TopicReader
from kaption.producers.sources import Found, Source
from kaption.schemas import ImageSource, RawPair, WireError
from support.publishing import TOPIC


def published(connection: KafkaConnection) -> Counter[str]:
    """How often each text is there; what is no pair counts as "?"."""
    with TopicReader(connection, [TOPIC]) as reader:
        records = [read.record for read in reader]
    return Counter(
        each.text if isinstance(each, RawPair) else "?"
        for each in records
        if isinstance(each, (RawPair, WireError))
    )


def once(count: int) -> Counter[str]:
    return Counter({str(number): 1 for number in range(count)})


class Numbers(Source):
    """Pairs 0 to `count`; calls `at` with each number before it comes."""

    def __init__(
        self, count: int, at: Callable[[int], None] = lambda number: None, name: str = "numbers"
    ) -> None:
        self._count = count
        self._at = at
        self._name = name

    @classmethod
    def recognises(cls, location: str) -> bool:
        return False

    @property
    def identity(self) -> str:
        return self._name

    def read(self, after: str | None = None) -> Iterator[Found]:
        for number in range(int(after or 0), self._count):
            self._at(number)
            image = ImageSource(url=f"https://cdn.example/{number}.jpg")
            pair = RawPair(pair_id=str(number), text=str(number), image=image)
            yield Found(pair, str(number + 1))
