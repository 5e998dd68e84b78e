from hypothesis import given
from hypothesis import strategies as st

from kaption.workers.runtime.batcher import Batcher
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.stage import Batching, Dead
from support.entries import entry


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def put(batcher: Batcher, *entries: Entry) -> None:
    batcher.add(entries)
    batcher.advance(entries)


def offsets(batcher: Batcher) -> list[list[int]]:
    return [[item.raw.offset for item in batch.entries] for batch in batcher.full()]


def test_a_batch_is_full_by_count() -> None:
    batcher = Batcher(Batching(2, 10.0), Clock())
    put(batcher, entry(0), entry(1), entry(2))
    assert offsets(batcher) == [[0, 1]]


def test_a_batch_that_waited_long_enough_goes_as_it_is() -> None:
    clock = Clock()
    batcher = Batcher(Batching(2, 10.0), clock)
    put(batcher, entry(0))
    assert offsets(batcher) == []
    clock.now = 10.0
    assert offsets(batcher) == [[0]]


def test_a_batch_is_full_by_bytes() -> None:
    batcher = Batcher(Batching(9, 10.0, max_bytes=100), Clock())
    put(batcher, entry(0, size=60), entry(1, size=60), entry(2, size=60))
    assert offsets(batcher) == [[0, 1]]


def test_a_slow_record_holds_up_its_own_partition_only() -> None:
    batcher = Batcher(Batching(2, 10.0), Clock())
    slow = entry(0)
    slow.ready = False
    put(batcher, slow, entry(1), entry(5, partition=1), entry(6, partition=1))
    assert offsets(batcher) == [[5, 6]]
    slow.ready = True
    batcher.advance([slow])
    assert offsets(batcher) == [[0, 1]]


def test_entries_with_an_outcome_ride_along_and_do_not_fill_the_batch() -> None:
    batcher = Batcher(Batching(2, 10.0), Clock())
    dead = entry(0)
    dead.outcome = Dead("as told")
    put(batcher, dead, entry(1), entry(2))
    assert offsets(batcher) == [[0, 1, 2]]


def test_per_partition_each_batch_holds_one() -> None:
    batcher = Batcher(Batching(2, 10.0, per_partition=True), Clock())
    put(batcher, entry(0), entry(0, partition=1), entry(1), entry(1, partition=1))
    batches = list(batcher.full())
    assert [{item.partition for item in batch.entries} for batch in batches] == [
        {batches[0].partition},
        {batches[1].partition},
    ]


def test_dropped_entries_leave_no_hole_in_other_partitions() -> None:
    batcher = Batcher(Batching(4, 10.0), Clock())
    put(batcher, entry(0), entry(0, partition=1), entry(1))
    dropped = batcher.drop(lambda item: item.partition.partition == 0)
    assert [item.raw.offset for item in dropped] == [0, 1]
    put(batcher, *(entry(offset, partition=1) for offset in (1, 2, 3)))
    assert offsets(batcher) == [[0, 1, 2, 3]]


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=60), st.integers(1, 5))
def test_whatever_becomes_ready_when_order_is_kept(
    arrivals: list[tuple[int, bool]], size: int
) -> None:
    # Given entries of three partitions, some ready at once and some at the end
    batcher = Batcher(Batching(size, 0.0), Clock())
    counts, late, out = [0, 0, 0], [], []
    for partition, ready in arrivals:
        item = entry(counts[partition], partition=partition)
        item.ready = ready
        counts[partition] += 1
        late += [] if ready else [item]
        put(batcher, item)
        out += [item for batch in batcher.full() for item in batch.entries]
    for item in late:
        item.ready = True
        batcher.advance([item])
        out += [item for batch in batcher.full() for item in batch.entries]
    # Then every partition came out whole and in order
    for partition, count in enumerate(counts):
        seen = [item.raw.offset for item in out if item.partition.partition == partition]
        assert seen == list(range(count))


def test_what_a_stop_gives_up_takes_along_what_stands_behind_it() -> None:
    # Given a record that is not ready in the middle of its partition, and another partition
    batcher = Batcher(Batching(9, 10.0), Clock())
    waiting = entry(1)
    waiting.ready = False
    put(batcher, entry(0), waiting, entry(2), entry(3), entry(0, partition=1))
    # When it is given up; then what stands before it stays, and no gap is left
    given_up = batcher.give_up([waiting])
    assert sorted(item.raw.offset for item in given_up) == [1, 2, 3]
    assert (batcher.open_entries, batcher.waiting_entries) == (2, 0)
    assert batcher.give_up([waiting]) == []


ANY_ORDER = Batching(2, 10.0, any_order=True)


def commit(batcher: Batcher) -> list[int]:
    """Compute what is full. Returns the offsets that may be committed."""
    batches = list(batcher.full())
    done = [item for batch in batches for item in batcher.computed(batch)[0]]
    return [item.raw.offset for item in done]


def test_in_any_order_a_slow_record_holds_up_nothing_but_the_commit() -> None:
    # Given a record that is not ready, and others behind it
    batcher = Batcher(ANY_ORDER, Clock())
    slow = entry(0)
    slow.ready = False
    put(batcher, slow, entry(1), entry(2))
    # When those are computed; then they wait for it, and nothing is committed
    assert commit(batcher) == []
    assert (batcher.parked, batcher.waiting_entries) == (2, 1)
    slow.ready = True
    put_again = [slow]
    batcher.advance(put_again)
    batcher.close_open()
    assert commit(batcher) == [0, 1, 2]
    assert (batcher.parked, batcher.waiting_entries) == (0, 0)


def test_in_any_order_what_was_computed_for_a_lost_partition_is_counted_once() -> None:
    batcher = Batcher(ANY_ORDER, Clock())
    put(batcher, entry(0), entry(1), entry(2), entry(0, partition=1))
    (full, other) = list(batcher.full())
    dropped = batcher.drop(lambda item: item.partition.partition == 0)
    assert sorted(item.raw.offset for item in dropped) == [0, 1, 2]
    assert batcher.computed(full) == ([], [])
    assert [item.raw.offset for item in batcher.computed(other)[0]] == [0]
    assert (batcher.parked, batcher.open_entries) == (0, 0)


def test_in_any_order_nothing_behind_a_record_that_a_stop_gave_up_is_committed() -> None:
    batcher = Batcher(ANY_ORDER, Clock())
    waiting = entry(1)
    waiting.ready = False
    put(batcher, entry(0), waiting, entry(2), entry(3))
    batcher.give_up([waiting])
    batcher.close_open()
    assert commit(batcher) == [0]


@given(st.permutations(range(12)), st.integers(1, 5))
def test_in_any_order_commits_follow_the_offsets(order: list[int], size: int) -> None:
    # Given entries of two partitions that get ready in any order
    batcher = Batcher(Batching(size, 0.0, any_order=True), Clock())
    items = [entry(number // 2, partition=number % 2) for number in range(12)]
    for item in items:
        item.ready = False
    batcher.add(items)
    done: list[Entry] = []
    # When each batch is computed as soon as it is full
    for number in order:
        items[number].ready = True
        batcher.advance([items[number]])
        for batch in list(batcher.full()):
            done += batcher.computed(batch)[0]
    # Then every partition came out whole and in order
    for partition in (0, 1):
        seen = [item.raw.offset for item in done if item.partition.partition == partition]
        assert seen == list(range(6))
