"""Sinks, compactors, readers and pins in any order, each of which may die at any step."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from tenacity import wait_none

from kaption.connections import patience
from kaption.connections.errors import Fatal, Retry
from kaption.consumers import ShardOptions, ShardStream
from kaption.consumers.stream import Sample
from kaption.objectstore.dataset import checkpointer
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.objects import read_rows
from kaption.objectstore.dataset.pins import add_pin, delete_pin, read_pins
from kaption.objectstore.folder import FolderStore
from kaption.schemas import CleanPair
from kaption.workers.compaction import retire
from kaption.workers.runtime.stage import Incoming
from support.compacting import LATER, compact, retire_all
from support.sink_machine import Crash, Sinks, Troubled, scripts
from support.sink_records import now, offsets_in, stored

pytestmark = pytest.mark.slow


class Compaction(Sinks):
    """Adds compactors, readers and pins to `Sinks`.

    Two pairs have many versions, in mixed order.
    """

    overtaken_by = 1

    def record(self, offset: int) -> Incoming[CleanPair]:
        name = f"pair-{offset}" if offset % 3 else f"often-{offset % 2}"
        extra = {"offset": offset}
        return stored(self.blobs, offset, pair_id=name, version=offset * 7 % 5 + 1, extra=extra)

    @initialize()
    def start(self) -> None:
        super().start()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(patience, "WAIT", wait_none())
        self.patch.setattr(checkpointer, "EVERY", 2)
        self.plain = FolderStore(self.root / "store")
        self.compactors = 0
        self.left: list[tuple[dict[str, object], list[int]]] = []
        self.running: Iterator[Sample] | None = None
        self.pinned: dict[str, list[int]] = {}
        self.was_pinned = False
        self.produce(count=8, marker=False)
        self.rebalance()

    def teardown(self) -> None:
        super().teardown()
        self.patch.undo()

    def check(self, found: list[int]) -> None:
        self.check_offsets(found)
        compact(self.plain)
        self.pins_are_read()
        for name in read_pins(self.plain, "dataset"):
            self.plain.delete(Layout("dataset").pin(name))
        compact(self.plain)
        assert retire(self.plain, "dataset", LATER).held == 0
        left = offsets_in(self.plain)
        self.check_offsets(left)
        # What a pin needed stays until its shard is merged again.
        assert self.was_pinned or left == sorted(self.latest())

    def others(self) -> None:
        super().others()
        super().others()  # twice, so that the manifest of the first shard can be removed
        compact(self.plain, writer=self.name())
        retire_all(self.plain)

    def name(self) -> str:
        self.compactors += 1
        return f"c{self.compactors}"

    @rule(script=scripts(25), removing=st.booleans())
    def compacts(self, script: list[str], removing: bool) -> None:
        """Compact until it is done, dies, or the store has failed too often."""
        store = Troubled(self.root / "store", self.meanwhile)
        store.script = list(script)
        try:
            compact(store, writer=self.name())
            if removing:
                retire_all(store)
        except (Crash, Retry):
            pass

    @precondition(lambda self: len(self.pinned) < 3)
    @rule(script=scripts(6))
    def pins(self, script: list[str]) -> None:
        """Pin what there is, or die. What is left of that is no pin, or one that can be read."""
        store, name = Troubled(self.root / "store", self.meanwhile), self.name()
        store.script = list(script)
        with suppress(Crash, Retry, Fatal):  # Fatal: there is no shard yet
            add_pin(store, "dataset", name, name, now())
        pin = read_pins(self.plain, "dataset").get(name)
        self.was_pinned |= pin is not None
        if pin is not None and pin.partitions:
            self.pinned[name] = self.read_pin(name)
            assert set(self.pinned[name]) == self.latest(pin.partitions[0].end)

    @precondition(lambda self: self.pinned)
    @rule()
    def pins_are_read(self) -> None:
        for name, expected in self.pinned.items():
            assert self.read_pin(name) == expected

    @precondition(lambda self: self.pinned)
    @rule()
    def pin_goes(self) -> None:
        name = next(iter(self.pinned))
        delete_pin(self.plain, "dataset", name, now())
        del self.pinned[name]

    def read_pin(self, name: str) -> list[int]:
        stream = ShardStream(self.plain, options=ShardOptions(pin=name, buffer=2))
        found = [place(sample) for sample in stream]
        assert stream.damaged == {}
        return found

    @precondition(lambda self: len(self.left) < 3)
    @rule(given=st.integers(1, 6), buffer=st.integers(0, 3))
    def reader_leaves(self, given: int, buffer: int) -> None:
        """Read some samples, then keep the state and the rest of the epoch for `reader_returns`."""
        stream = ShardStream(self.plain, options=ShardOptions(shuffle=bool(buffer), buffer=buffer))
        running = iter(stream)
        for _, _ in zip(range(given), running, strict=False):
            pass
        state = stream.state_dict() | {"buffer_for_test": buffer}
        self.left.append((state, [place(sample) for sample in running]))

    @precondition(lambda self: self.left)
    @rule()
    def reader_returns(self) -> None:
        state, rest = self.left.pop(0)
        buffer = state.pop("buffer_for_test")
        stream = ShardStream(
            self.plain, options=ShardOptions(shuffle=bool(buffer), buffer=int(str(buffer)))
        )
        stream.load_state_dict(state)
        found = [place(sample) for sample in stream]
        assert stream.damaged == {}
        self.check_rest(found, rest)
        if not buffer:
            assert found == [offset for offset in rest if offset in found]

    @precondition(lambda self: self.running is None)
    @rule()
    def reader_begins(self) -> None:
        self.expected = [
            place(sample) for sample in ShardStream(self.plain, options=ShardOptions(buffer=2))
        ]
        self.given: list[int] = []
        self.stream = ShardStream(self.plain, options=ShardOptions(buffer=2))
        self.running = iter(self.stream)
        self.reads(1)

    @precondition(lambda self: self.running is not None)
    @rule(count=st.integers(1, 4))
    def reads(self, count: int) -> None:
        assert self.running is not None
        for _ in range(count):
            sample = next(self.running, None)
            if sample is None:
                assert self.stream.damaged == {}
                self.check_rest(self.given, self.expected)
                self.running = None
                return
            self.given.append(place(sample))

    @invariant()
    def each_record_is_in_one_shard_that_counts(self) -> None:
        if hasattr(self, "plain"):
            rows = [
                row["offset"]
                for manifest in read_manifests(self.plain, "dataset")
                for row in read_rows(self.plain, "dataset", manifest)
            ]
            self.check_offsets(rows)

    def check_offsets(self, found: list[int]) -> None:
        manifests = read_manifests(self.plain, "dataset")
        end = manifests[-1].end if manifests else 0
        written = {m.position.offset for m in self.log if m.position.offset < end}
        assert found == sorted(set(found))
        assert set(found) <= written
        assert self.latest(end) <= set(found)

    def check_rest(self, found: list[int], rest: list[int]) -> None:
        """Check that no sample is given twice, and that only replaced versions are missing."""
        assert len(found) == len(set(found))
        assert set(found) <= set(rest)
        assert not (set(rest) - set(found)) & self.latest()

    def latest(self, end: int | None = None) -> set[int]:
        """Return the offsets of the latest versions among the records below `end`."""
        versions: dict[str, tuple[int, int]] = {}
        for message in self.log:
            pair, offset = message.record, message.position.offset
            if end is None or offset < end:
                known = versions.get(pair.pair_id, (0, 0))
                versions[pair.pair_id] = max(known, (pair.version, offset))
        return {offset for _, offset in versions.values()}


def place(sample: Sample) -> int:
    offset = sample.pair.extra["offset"]
    assert isinstance(offset, int)
    return offset


TestCompaction = Compaction.TestCase
TestCompaction.settings = settings(
    max_examples=50,
    stateful_step_count=16,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
