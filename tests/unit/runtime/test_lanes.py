"""What waits for a foreign server holds no thread, and nobody else."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from queue import Empty, SimpleQueue

import pytest

from kaption.schemas import RawPair, Reason
from kaption.schemas.topics import RAW
from kaption.workers.runtime.backoff import Backoff
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.lanes import SLOW_S, Lanes
from kaption.workers.runtime.preparation import Preparation
from kaption.workers.runtime.stage import Incoming, Later, Reject, abroad
from kaption.workers.runtime.stop import StopRequest
from support.engine import POLICY, Toy, until
from support.entries import entry

pytestmark = pytest.mark.slow

LIMIT_S = 20.0
Answers = SimpleQueue[tuple[Sequence[Entry], BaseException | None]]


class Fetching(Toy):
    """Records whose text begins with ``silent`` wait until the end; each text is a lane."""

    lane_width = 8

    def __init__(self) -> None:
        super().__init__()
        self.speaks = threading.Event()
        self.lock = threading.Lock()
        self.held: Counter[str] = Counter()
        self.later: Counter[str] = Counter()
        self.ended: list[int] = []
        self.most = 0

    def lane(self, message: Incoming[RawPair]) -> str | None:
        return message.record.text

    def prepare(self, message: Incoming[RawPair]) -> str:
        text, record = message.record.text, message.record.pair_id
        if text == "times out":
            with self.lock:
                self.held[text] += 1
                number, before = self.held[text], self.later[text]
            with abroad():
                time.sleep(SLOW_S + 0.2 * number if number < 4 else 0.0)
            with self.lock:
                self.later[text] += 1
                self.ended.append(before)
            if number < 4:
                raise Reject(Reason.FETCH_TIMEOUT)
        if text == "takes its time":
            with self.lock:
                self.held[text] += 1
                self.most = max(self.most, self.held[text])
            with abroad():
                time.sleep(SLOW_S + 0.1)
            with self.lock:
                self.held[text] -= 1
        if text.startswith("slow"):
            with self.lock:
                self.held[text] += 1
            self.speaks.wait(LIMIT_S)
        if text.startswith("moves") and not self.later[record]:
            self.later[record] += 1
            raise Later("its next address is on another server", 0.0, "silent")
        if text.startswith(("silent", "moves")):
            with self.lock:
                self.held[text if text.startswith("silent") else "silent"] += 1
            with abroad():
                self.speaks.wait(LIMIT_S)
        if text.startswith("later") and not self.later[record]:
            self.later[record] += 1
            raise Later("as told", 0.05)
        return text


class Pool:
    def __init__(self) -> None:
        self.stage = Fetching()
        self.ready: Answers = SimpleQueue()
        stop = StopRequest(time.monotonic)
        backoff = Backoff(POLICY, random.Random(1), stop, lambda _: None)
        topics = {RAW.name: RAW}
        self.preparation = Preparation(self.stage, topics, POLICY, backoff, time.monotonic)
        self.preparation.start(lambda chunk, error: self.ready.put((chunk, error)))

    def submit(self, *texts: str) -> None:
        entries = [entry(offset, text) for offset, text in enumerate(texts)]
        for item in entries:
            item.message, item.prepared, item.ready = None, None, False
        self.preparation.submit(entries)

    def take(self, number: int) -> list[str]:
        """The texts of the next entries that are ready."""
        texts: list[str] = []
        while len(texts) < number:
            chunk, error = self.ready.get(timeout=LIMIT_S)
            assert error is None
            texts += [str(item.prepared) for item in chunk if item.ready]
        return texts


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool()
    yield made
    made.stage.speaks.set()
    made.preparation.stop()
    made.preparation.join(LIMIT_S)


def test_a_thousand_records_of_a_silent_server_hold_up_no_other(pool: Pool) -> None:
    # Given many records of one server that does not answer
    pool.submit(*["silent"] * 1000)
    # When records of others come behind them
    pool.submit(*[f"other {n % 7}" for n in range(100)])
    # Then these get ready, and the server was asked three times
    assert all(text.startswith("other") for text in pool.take(100))
    assert pool.stage.held["silent"] == 3
    assert pool.preparation.waiting > 990


def test_more_silent_servers_than_threads_hold_up_no_other(pool: Pool) -> None:
    pool.submit(*[f"silent {n % 20}" for n in range(200)])
    pool.submit(*["other"] * 30)
    assert pool.take(30) == ["other"] * 30
    with pytest.raises(Empty):
        pool.ready.get_nowait()


def test_first_tries_at_many_silent_servers_keep_no_thread_from_the_others(pool: Pool) -> None:
    # Given 150 tries, each of which would keep one of eight threads at work for a second
    pool.submit(*[f"silent {n % 50}" for n in range(150)])
    began = time.monotonic()
    pool.submit(*["other"] * 30)
    assert pool.take(30) == ["other"] * 30
    assert time.monotonic() - began < 10 * SLOW_S
    assert pool.preparation.waiting == 150


def test_a_server_that_speaks_again_gets_all_its_records(pool: Pool) -> None:
    pool.submit(*["silent"] * 50)
    pool.stage.speaks.set()
    assert pool.take(50) == ["silent"] * 50
    assert pool.preparation.waiting == 0


def test_a_record_that_is_postponed_comes_again_and_holds_up_no_other(pool: Pool) -> None:
    pool.submit(*[f"later {n % 3}" for n in range(40)], "other")
    assert sorted(pool.take(41)) == sorted([*(f"later {n % 3}" for n in range(40)), "other"])
    assert set(pool.stage.later.values()) == {1}


def test_a_server_is_asked_no_more_until_its_first_records_have_timed_out(pool: Pool) -> None:
    # Given records of a server, of which the first three time out one after another
    pool.submit(*["times out"] * 20)
    assert len(pool.take(20)) == 20
    # Then none began between the first time-out and the third
    assert sorted(pool.stage.ended)[:4] == [0, 0, 0, 3]


def test_a_task_is_taken_whichever_thread_it_wakes() -> None:
    # Given three threads, of which the one that waits shortest has looked at the clock last
    lanes, taken, goes = Lanes(1, 8, time.monotonic), SimpleQueue[str](), threading.Event()

    def work() -> None:
        while (task := lanes.take()) is not None:
            name = str(task[0].entries[0].prepared)
            if name == "silent":
                time.sleep(0.5)  # before the call, it counts as at work
                lanes.enter("dead", task[0].entries[0], here=True)
                with abroad():
                    goes.wait(LIMIT_S)
            taken.put(name)

    for _ in range(3):
        threading.Thread(target=work, daemon=True).start()
        time.sleep(0.05)
    lanes.put([entry(0, "first")])
    assert taken.get(timeout=LIMIT_S) == "first"
    time.sleep(0.05)
    # When one record waits for a silent server
    lanes.put([entry(1, "silent")])
    time.sleep(0.1)
    lanes.put([entry(2, "other")])
    # Then the next one is taken all the same
    assert taken.get(timeout=LIMIT_S / 2) == "other"
    goes.set()
    lanes.stop()


def test_a_slow_server_that_gives_its_images_gets_as_many_places_as_a_quick_one(pool: Pool) -> None:
    pool.submit(*["takes its time"] * 24)
    assert pool.take(24) == ["takes its time"] * 24
    assert pool.stage.most == Fetching.lane_width


def test_servers_that_give_their_images_slowly_leave_the_threads_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given one place for work, and a server that took two seconds for an image. Another record of
    # it was refused at once, for what is known of the server.
    monkeypatch.setattr("kaption.workers.runtime.lanes.seconds_abroad", lambda thread: SLOW_S / 2)
    now, goes, begun = [0.0], threading.Event(), threading.Event()
    lanes = Lanes(1, 8, lambda: now[0])

    def slow() -> None:
        for turn in range(2):
            (one,) = lanes.take()[0].entries  # type: ignore[index] # the lanes are not stopped
            lanes.enter("slow", one, here=True)
            with abroad():
                now[0] += 2 * SLOW_S
                if turn:
                    begun.set()
                    goes.wait(LIMIT_S)
            lanes.leave("slow", well=True)
            if not turn:
                (known,) = lanes.take()[0].entries  # type: ignore[index] # as before
                lanes.enter("slow", known, here=True)
                lanes.leave("slow", well=False)

    for at in range(3):
        lanes.put([entry(at)])
    threading.Thread(target=slow, daemon=True).start()
    # When its next image is under way for half a second
    assert begun.wait(LIMIT_S)
    lanes.put([entry(3)])
    # Then the place is free for another record
    taken = SimpleQueue[object]()
    threading.Thread(target=lambda: taken.put(lanes.take()), daemon=True).start()
    try:
        assert taken.get(timeout=LIMIT_S / 2)
    finally:
        goes.set()
        lanes.stop()


def test_records_that_move_to_a_silent_server_wait_in_its_lane(pool: Pool) -> None:
    # Given records of many servers whose next addresses lie on one that does not answer
    pool.submit(*[f"moves {n}" for n in range(100)])
    # When records of others come behind them
    pool.submit(*["other"] * 30)
    # Then these get ready, and the silent server was asked three times
    assert pool.take(30) == ["other"] * 30
    assert until(lambda: pool.stage.held["silent"] >= 3)
    time.sleep(0.5)
    assert pool.stage.held["silent"] == 3
    # When it speaks, all get ready
    pool.stage.speaks.set()
    assert sorted(pool.take(100)) == sorted(f"moves {n}" for n in range(100))


def test_a_thread_that_is_slow_at_home_is_not_replaced(pool: Pool) -> None:
    # Given as many records as threads, which wait in `prepare` but for no foreign server
    pool.submit(*[f"slow {n}" for n in range(30)])
    time.sleep(3 * SLOW_S)
    # Then no more are prepared at once, because each may hold an image in memory
    assert pool.stage.held.total() == POLICY.prepare_threads
    pool.stage.speaks.set()
    assert len(pool.take(30)) == 30
