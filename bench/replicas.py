"""Measures what replicas of a stage add, and how long nothing flows when their number changes.

The stage computes on a device of its own: it sleeps 20 ms for each record. Each replica is a
`kaption work` process on Apache Kafka, and the topics have 64 partitions. A reader of committed
outputs notes when each record comes out.

Efficiency is the rate of committed records for each replica, as a share of what its device can do.
A standstill is the longest time in which nothing comes out: of all partitions together, and of the
worst one. For it a record takes 2 ms and a twentieth of what the replicas can do is sent, evenly
to all partitions: what has waited is done at once, and each partition gets a record every 0.64 s.

    python -m bench.replicas --replicas 1 2 4 8 --rounds 3
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import TYPE_CHECKING, ClassVar

from kafka import KafkaProducer, TopicPartition
from pydantic import BaseModel

from kaption.connections.kafka.clients import topic_consumer
from kaption.connections.kafka.topics import TopicAdmin
from kaption.connections.settings import KafkaConnection
from kaption.schemas import RawPair
from kaption.schemas.topics import DEAD, INGESTED, RAW, REJECTED, Topic
from kaption.schemas.wire import ORIGIN_HEADER, encode, header, headers_of
from kaption.testing.records import raw_pair
from kaption.workers.local.server import free_ports
from kaption.workers.runtime.policy import RuntimeSettings
from kaption.workers.runtime.stage import Batching, Emit, Incoming, Outcome, Stage
from tools.servers import ApacheKafka

if TYPE_CHECKING:
    from support.replicas import Replica

_ROOT = Path(__file__).parents[1]
_OUT = Topic(INGESTED.name, RawPair, "what the device has seen")
_STAGE = "bench.replicas:Simulated"
_PARTITIONS = 64
_RECORD_S = 0.02
_BATCH = 16
_QUICK_S = 0.002
_SENT_A_SECOND = 100
_SETTLED_S = 8.0
_WINDOW_S = 20.0
_AROUND = 4


class Device(BaseModel):
    """Settings of `Simulated`."""

    record_s: float


class Simulated(Stage[RawPair, RawPair]):
    """Emits each record after the time that a device would take."""

    name: ClassVar[str] = "simulated"
    inputs: ClassVar[tuple[Topic, ...]] = (RAW,)
    outputs: ClassVar[tuple[Topic, ...]] = (_OUT,)

    def __init__(self, device: Device) -> None:
        self._record_s = device.record_s

    @property
    def batching(self) -> Batching:
        """As a caption model's."""
        return Batching(max_records=_BATCH, max_wait_s=0.1)

    def prepare(self, message: Incoming[RawPair]) -> RawPair:
        """Nothing to do."""
        return message.record

    def process(self, batch: Sequence[tuple[Incoming[RawPair], RawPair]]) -> Sequence[Outcome]:
        """Sleep."""
        time.sleep(self._record_s * len(batch))
        return [Emit(((_OUT, record),)) for _, record in batch]


class OutputTimes:
    """Notes, on a thread of its own, when records of each input partition come out."""

    def __init__(self, kafka: KafkaConnection) -> None:
        self._consumer = topic_consumer(kafka, 30.0)
        name = kafka.topic_prefix + _OUT.name
        self._consumer.assign([TopicPartition(name, each) for each in range(_PARTITIONS)])
        self._ended = Event()
        self._seen: list[tuple[float, str]] = []
        self._thread = Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while not self._ended.is_set():
            polled = self._consumer.poll(100)
            now = time.monotonic()
            for message in (each for part in polled.values() for each in part):
                origin = header(message.headers, ORIGIN_HEADER) or ""
                self._seen.append((now, origin.split("/")[1]))

    def rate(self, since: float) -> float:
        """Records a second."""
        return sum(at > since for at, _ in self._seen) / (time.monotonic() - since)

    def standstill(self, since: float) -> tuple[float, float]:
        """Seconds in which nothing came out: of all partitions, of the worst one."""
        last: dict[str, float] = defaultdict(lambda: since)
        longest: dict[str, float] = defaultdict(float)
        now = time.monotonic()
        for at, partition in [*self._seen, *((now, str(each)) for each in range(_PARTITIONS))]:
            if at > since:
                for each in ("all", partition):
                    longest[each] = max(longest[each], at - last[each])
                    last[each] = at
        return longest.pop("all"), max(longest.values())

    def close(self) -> None:
        """End."""
        self._ended.set()
        self._thread.join()
        self._consumer.close()


class SteadyRate:
    """Sends `rate` records a second, evenly to all partitions."""

    def __init__(self, kafka: KafkaConnection, rate: float) -> None:
        self._topic = kafka.topic_prefix + RAW.name
        self._producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, linger_ms=5)
        self._rate = rate
        self._ended = Event()
        self.sent = 0
        self._thread = Thread(target=self._run)

    def send(self, count: int) -> None:
        """Send so many more."""
        for _ in range(count):
            pair = raw_pair(self.sent)
            self._producer.send(
                self._topic,
                encode(pair),
                partition=self.sent % _PARTITIONS,
                headers=headers_of(pair),
            )
            self.sent += 1

    def start(self) -> None:
        """Begin to send evenly."""
        self._thread.start()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._ended.wait(0.02):
            self.send(round((time.monotonic() - began) * self._rate) - self.sent)

    def close(self) -> None:
        """End."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._producer.close()


class Group:
    """The replicas of the stage on fresh topics."""

    def __init__(
        self, kafka: KafkaConnection, folder: Path, record_s: float, stack: ExitStack
    ) -> None:
        self._kafka = kafka
        self._folder = folder
        self._device = Device(record_s=record_s)
        self._stack = stack
        self.members: list[Replica] = []
        topics = [RAW, _OUT, REJECTED, DEAD]
        with TopicAdmin(kafka) as admin:
            admin.create([replace(each, partitions=_PARTITIONS) for each in topics])

    def add(self) -> None:
        """Start one more, and wait until it is a member."""
        from support.replicas import Replica
        from support.web import get

        (port,) = free_ports(1)
        settings = {
            "KAPTION_KAFKA__BOOTSTRAP": self._kafka.bootstrap,
            "KAPTION_KAFKA__TOPIC_PREFIX": self._kafka.topic_prefix,
            "KAPTION_HEALTH__HOST": "127.0.0.1",
            "KAPTION_HEALTH__PORT": str(port),
            "KAPTION_STAGES": json.dumps({_STAGE: self._device.model_dump()}),
            "PYTHONPATH": str(_ROOT),
        }
        number = len(self.members)
        member = Replica(_STAGE, number, settings, self._folder)
        member.start()
        self._stack.callback(member.kill9)
        self.members.append(member)
        while get(port, "/readyz")[0] != 200:
            if member.ended is not None:
                sys.exit(f"a replica ended:\n{member.log.read_text()[-2000:]}")
            time.sleep(0.1)


def main() -> None:
    """Print the efficiency of each number of replicas, then the standstill of each change."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--replicas", type=int, nargs="*", default=[1, 2, 4, 8])
    parser.add_argument("--rounds", type=int, default=2, help="of each change")
    given = parser.parse_args()
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    sys.path.insert(0, str(_ROOT / "tests"))
    with ApacheKafka() as server, TemporaryDirectory() as folder:
        if given.replicas:
            with ExitStack() as stack:
                kafka = KafkaConnection(bootstrap=server.bootstrap, topic_prefix="rates.")
                _rates(given.replicas, kafka, Path(folder), stack)
        with ExitStack() as stack:
            kafka = KafkaConnection(bootstrap=server.bootstrap, topic_prefix="changes.")
            _changes(given.rounds, kafka, Path(folder), stack)


def _rates(counts: Sequence[int], kafka: KafkaConnection, folder: Path, stack: ExitStack) -> None:
    group, outputs = Group(kafka, folder, _RECORD_S, stack), OutputTimes(kafka)
    stack.callback(outputs.close)
    feeder = SteadyRate(kafka, 0)
    stack.callback(feeder.close)
    for count in sorted(counts):
        # Enough also for the time in which replicas start, on a busy machine.
        feeder.send(round(count / _RECORD_S * 3 * (_SETTLED_S + _WINDOW_S)))
        while len(group.members) < count:
            group.add()
        time.sleep(_SETTLED_S)
        began = time.monotonic()
        time.sleep(_WINDOW_S)
        rate = outputs.rate(began)
        print(
            f"{count} replicas: {rate:.0f} records/s, efficiency {rate * _RECORD_S / count:.3f}",
            flush=True,
        )


def _changes(rounds: int, kafka: KafkaConnection, folder: Path, stack: ExitStack) -> None:
    group, outputs = Group(kafka, folder, _QUICK_S, stack), OutputTimes(kafka)
    stack.callback(outputs.close)
    for _ in range(_AROUND):
        group.add()
    feeder = SteadyRate(kafka, _SENT_A_SECOND)
    stack.callback(feeder.close)
    feeder.start()

    def leave() -> None:
        group.members.pop(0).stop()

    def kill() -> None:
        group.members.pop(0).kill9()

    session = RuntimeSettings().session_timeout_s
    changes: list[tuple[str, Callable[[], None], float]] = [
        ("none", lambda: None, 0.0),
        ("one joins", group.add, 0.0),
        ("one leaves", leave, 0.0),
        ("one is killed", kill, session),
    ]
    for _ in range(rounds):
        for name, change, more_s in changes:
            while len(group.members) < _AROUND:
                group.add()
            time.sleep(_SETTLED_S)
            began = time.monotonic()
            change()
            time.sleep(more_s + _WINDOW_S / 2)
            together, worst = outputs.standstill(began)
            print(
                f"{name}: nothing flows for {together:.1f} s, in the worst partition for "
                f"{worst:.1f} s" + (f" (session time-out {session:.0f} s)" if more_s else ""),
                flush=True,
            )


if __name__ == "__main__":
    main()
