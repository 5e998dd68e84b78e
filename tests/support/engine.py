"""A stage for the engine's tests, its topics, and its worker on a thread."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from kaption.connections.settings import KafkaConnection
from kaption.schemas import RawPair, Reason
from kaption.schemas.topics import DEAD, INGESTED, RAW, REJECTED, Topic
from kaption.schemas.wire import ORIGIN_HEADER, encode, header, headers_of
from kaption.testing.records import raw_pair
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.stage import Batching, Dead, Emit, Incoming, Outcome, Reject, Stage
from kaption.workers.runtime.worker import Worker

ECHO = Topic(INGESTED.name, RawPair, "what the toy stage emits")
PARTITIONS = 3
# Sessions short enough for tests that lose members and brokers.
POLICY = RuntimePolicy(
    session_timeout_s=6.0,
    transaction_deadline_s=8.0,
    transaction_margin_s=2.0,
    rebuild_attempt_s=8.0,
    request_timeout_s=6.0,
    retry_initial_s=0.05,
    retry_max_s=0.5,
    dead_letter_rate=None,
)


class Toy(Stage[RawPair, str]):
    """Emits each record, unless its text says otherwise.

    ``reject`` and ``dead`` are the outcome of `prepare`; ``poison`` makes `process` fail.
    """

    name: ClassVar[str] = "toy"
    inputs: ClassVar[tuple[Topic, ...]] = (RAW,)
    outputs: ClassVar[tuple[Topic, ...]] = (ECHO,)

    def __init__(
        self,
        records: int = 16,
        wait_s: float = 0.1,
        seconds: float = 0.0,
        any_order: bool = False,
    ) -> None:
        self._batching = Batching(records, wait_s, any_order=any_order)
        self._seconds = seconds
        self.sizes: list[int] = []
        self.processed: Counter[str] = Counter()
        self.before: Callable[[Sequence[str]], None] = lambda texts: None
        """Called in `process` with the texts of the batch. It may raise."""

    @property
    def batching(self) -> Batching:
        return self._batching

    def prepare(self, message: Incoming[RawPair]) -> str:
        if self._batching.any_order and message.position.offset % 5 == 0:
            time.sleep(0.1)  # gets ready after those behind it
        match message.record.text:
            case "reject":
                raise Reject(Reason.TOO_SMALL, "as told")
            case "dead":
                raise Dead("as told")
        return message.record.text

    def process(self, batch: Sequence[tuple[Incoming[RawPair], str]]) -> Sequence[Outcome]:
        texts = [text for _, text in batch]
        self.sizes.append(len(batch))
        self.before(texts)
        if "poison" in texts:
            raise ValueError("poisoned")
        time.sleep(self._seconds)
        self.processed.update(message.record.pair_id for message, _ in batch)
        return [Emit(((ECHO, message.record),)) for message, _ in batch]


class Probed(Toy):
    """A toy with a probe, which works unless `broken` is raised."""

    def __init__(self, records: int = 16, broken: Exception | None = None) -> None:
        super().__init__(records)
        self.broken = broken
        self.probes = 0

    def probe(self) -> None:
        self.probes += 1
        if self.broken is not None:
            raise self.broken


class Stream:
    """The toy's topics on one broker."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.bootstrap = bootstrap
        self.prefix = prefix
        self.connection = KafkaConnection(bootstrap=bootstrap, topic_prefix=prefix)
        self.produced = 0
        admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        admin.create_topics(
            [NewTopic(prefix + t.name, PARTITIONS, 1, topic_configs=t.config()) for t in _TOPICS]
        )
        admin.close()

    def produce(self, texts: Sequence[str | bytes], codec: str | None = None) -> None:
        """Send one record for each text. Bytes are sent as they are."""
        producer = KafkaProducer(
            bootstrap_servers=self.bootstrap, acks="all", linger_ms=50, compression_type=codec
        )
        for text in texts:
            number = self.produced
            self.produced += 1
            partition, topic = number % PARTITIONS, self.prefix + RAW.name
            if isinstance(text, bytes):
                producer.send(topic, text, partition=partition, headers=[("x", b"\xff")])
            else:
                pair = raw_pair(number, text=text)
                producer.send(topic, encode(pair), partition=partition, headers=headers_of(pair))
        producer.flush()
        producer.close()

    def read(self, topic: Topic, isolation: str = "read_committed") -> list[Any]:
        """All messages of an output topic."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap,
            isolation_level=isolation,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        partitions = [TopicPartition(self.prefix + topic.name, n) for n in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        messages: list[Any] = []
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            for part in consumer.poll(200).values():
                messages += part
        consumer.close()
        return messages

    def end(self, topic: Topic) -> int:
        """The sum of the end offsets. Transaction markers count."""
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap)
        partitions = [TopicPartition(self.prefix + topic.name, n) for n in range(PARTITIONS)]
        ends = consumer.end_offsets(partitions)
        consumer.close()
        return sum(ends.values())

    def outcomes(self) -> Counter[str]:
        """How many committed outcomes each input record has, by its origin without topic id."""
        return Counter(
            (header(message.headers, ORIGIN_HEADER) or "").rpartition("/")[0]
            for topic in (ECHO, REJECTED, DEAD)
            for message in self.read(topic)
        )

    def expected(self) -> Counter[str]:
        """What `outcomes` must be: one for each produced record."""
        return Counter(
            f"{self.prefix}{RAW.name}/{number % PARTITIONS}/{number // PARTITIONS}"
            for number in range(self.produced)
        )

    def lag(self, group: str = "toy") -> int:
        """Records between the committed offsets of the group and the end."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap,
            group_id=self.prefix + group,
            enable_auto_commit=False,
            isolation_level="read_committed",
        )
        partitions = [TopicPartition(self.prefix + RAW.name, n) for n in range(PARTITIONS)]
        ends = consumer.end_offsets(partitions)
        committed = {p: consumer.committed(p, timeout_ms=5000) or 0 for p in partitions}
        consumer.close(autocommit=False)
        return sum(ends[p] - committed[p] for p in partitions)


_TOPICS = (RAW, ECHO, REJECTED, DEAD)


class Running:
    """A worker on a thread."""

    def __init__(
        self, stage: Stage[Any, Any], kafka: KafkaConnection, policy: RuntimePolicy = POLICY
    ) -> None:
        self.worker = Worker(stage, kafka, policy)
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.worker.run()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    @property
    def records(self) -> int:
        return self.worker.progress.snapshot().records

    def ends(self, within_s: float = 30.0) -> bool:
        self.thread.join(within_s)
        return not self.thread.is_alive()

    def stop(self, timeout_s: float = 30.0) -> None:
        self.worker.stop()
        if not self.ends(timeout_s):
            self.worker.stop()
            self.ends(timeout_s)


@contextmanager
def running(stage: Toy, stream: Stream, policy: RuntimePolicy = POLICY) -> Iterator[Running]:
    """A worker that runs during the block."""
    worker = Running(stage, stream.connection, policy)
    try:
        yield worker
    finally:
        with suppress(Exception):
            worker.stop()


def until(condition: Callable[[], bool], timeout_s: float = 180.0) -> bool:
    """Wait until `condition` holds. Returns whether it does."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()
