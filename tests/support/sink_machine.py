"""A hypothesis machine: sinks of one partition with crashes, lost answers and zombies."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kaption.connections.errors import Retry
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.manifests import chain_faults, read_manifests
from kaption.objectstore.folder import FolderStore
from kaption.schemas import CleanPair
from kaption.workers.runtime.stage import Incoming
from kaption.workers.stages.sink.stage import SinkStage
from support.sink_records import TOPIC, done, offsets_in, open_sink, stored

T = TypeVar("T")


class Crash(BaseException):
    """The sink's process dies."""


class Troubled(FolderStore):
    """A store that takes one event of a script at each write and each read of a manifest."""

    def __init__(self, root: Path, meanwhile: Callable[[], None]) -> None:
        super().__init__(root)
        self.script: list[str] = []
        self._meanwhile = meanwhile

    def _step(self, call: Callable[[], T]) -> T:
        event = self.script.pop(0) if self.script else "fine"
        if event == "overtaken":
            self._meanwhile()
        if event == "crash before":
            raise Crash
        if event == "lost before":
            raise Retry(event)
        answer = call()
        if event == "crash after":
            raise Crash
        if event == "lost after":
            raise Retry(event)
        return answer

    def put(self, key: str, data: bytes | Path, *, media_type: str = "x") -> None:
        self._step(lambda: FolderStore.put(self, key, data))

    def put_if_absent(self, key: str, data: bytes, *, media_type: str = "x") -> bool:
        return self._step(lambda: FolderStore.put_if_absent(self, key, data))

    def get(self, key: str) -> bytes:
        if "manifest" not in key and "merged" not in key:
            return super().get(key)
        return self._step(lambda: FolderStore.get(self, key))

    def delete(self, key: str) -> None:
        self._step(lambda: FolderStore.delete(self, key))


class Worker:
    """A sink that knows the chain as it was when the partition was assigned to it."""

    def __init__(self, machine: "Sinks", number: int) -> None:
        self.store = Troubled(machine.root / "store", machine.meanwhile)
        self.sink: SinkStage = open_sink(self.store, machine.root / f"spool{number}", f"w{number}")
        self.next = self.sink.resume(TOPIC, 0, machine.committed)


_EVENTS = st.sampled_from(
    ["fine", "fine", "overtaken", "crash before", "crash after", "lost before", "lost after"]
)


def scripts(steps: int) -> st.SearchStrategy[list[str]]:
    """Give a few events at random, or one overtaking at one of `steps` steps."""
    overtaken = st.integers(0, steps - 1).map(lambda step: ["fine"] * step + ["overtaken"])
    return st.lists(_EVENTS, max_size=12) | overtaken


class Sinks(RuleBasedStateMachine):
    """One partition: its log, its committed offset, its owner, and earlier owners (zombies)."""

    overtaken_by: ClassVar[int] = 3
    """Records that a zombie writes between two steps of another writer."""

    def record(self, offset: int) -> Incoming[CleanPair]:
        """The log's record at the offset."""
        return stored(self.blobs, offset)

    @initialize()
    def start(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.blobs = BlobStore(FolderStore(self.root / "store"))
        self.log: list[Incoming[CleanPair]] = []
        self.end = self.committed = self.number = 0
        self.zombies: list[Worker] = []
        self.overtaking = False
        self.writing: Worker | None = None
        self.owner = Worker(self, 0)

    def teardown(self) -> None:
        if not hasattr(self, "root"):
            return
        self.rebalance()
        while self.committed < self.end:
            self.owner_writes(3, ["fine"], False)
        self.check(offsets_in(self.owner.store))
        shutil.rmtree(self.root)

    def check(self, found: list[int]) -> None:
        """Check the offsets that are in the shards at the end."""
        assert found == [message.position.offset for message in self.log]

    @rule(count=st.integers(1, 4), marker=st.booleans())
    def produce(self, count: int, marker: bool) -> None:
        for _ in range(count):
            self.log.append(self.record(self.end))
            self.end += 1
        self.end += marker

    @rule()
    def rebalance(self) -> None:
        """Assign the partition to another worker. The earlier one does not learn of it."""
        self.number += 1
        self.zombies = [*self.zombies, self.owner][-2:]
        self.owner = Worker(self, self.number)

    @precondition(lambda self: self.committed < self.end)
    @rule(count=st.integers(1, 5), script=scripts(3), stop=st.booleans())
    def owner_writes(self, count: int, script: list[str], stop: bool) -> None:
        """Write one batch and commit it, unless the worker dies (`stop`: before the commit)."""
        reached = self.write(self.owner, count, script)
        if reached is None or stop:
            self.number += 1
            self.owner = Worker(self, self.number)
        else:
            # markers at the end of the log are committed with the position
            later = [m.position.offset for m in self.log if m.position.offset >= reached]
            self.committed = min(later, default=self.end)

    @precondition(lambda self: self.zombies)
    @rule(count=st.integers(1, 5), script=st.lists(_EVENTS, max_size=4))
    def zombie_writes(self, count: int, script: list[str]) -> None:
        """Let a zombie write a batch. Its shard counts; its commit to Kafka is refused."""
        if self.write(self.zombies[-1], count, script) is None:
            self.zombies.pop()

    def meanwhile(self) -> None:
        """Let the others write between two steps of a writer."""
        if self.overtaking:
            return
        self.overtaking = True
        self.others()
        self.overtaking = False

    def others(self) -> None:
        """Let each zombie write, except the one that is writing."""
        for zombie in self.zombies:
            if zombie is not self.writing:
                self.write(zombie, self.overtaken_by, [])

    def write(self, worker: Worker, count: int, script: list[str]) -> int | None:
        """Let a worker write its next records, as often as Retry asks. None: it died."""
        batch = [m for m in self.log if m.position.offset >= worker.next][:count]
        if not batch:
            return worker.next
        prepared = [(message, worker.sink.prepare(message)) for message in batch]
        worker.store.script = list(script)
        if not self.overtaking:
            self.writing = worker
        while True:
            try:
                assert done(worker.sink.process(prepared))
                break
            except Retry:
                continue
            except Crash:
                return None
        worker.store.script = []
        worker.next = batch[-1].position.offset + 1
        return worker.next

    @invariant()
    def chain_is_whole_and_ahead_of_kafka(self) -> None:
        if not hasattr(self, "root"):
            return
        manifests = read_manifests(FolderStore(self.root / "store"), "dataset")
        assert chain_faults(manifests) == []
        written = manifests[-1].end if manifests else 0
        committed = [m for m in self.log if m.position.offset < self.committed]
        assert all(message.position.offset < written for message in committed)
