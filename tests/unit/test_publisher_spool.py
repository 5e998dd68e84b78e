"""The spool keeps what it accepted, in order and whole, whatever happens to its process."""

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaption.connections.kafka.messages import Message
from kaption.producers.errors import BufferFullError, ClosedError, SpoolError
from kaption.producers.spool.log import PAGE_BYTES, MessageLog
from kaption.producers.spool.rows import Row, from_row, to_row
from kaption.producers.spool.spool import Spool

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
ALL = 1024 * MIB


def message(number: int, size: int = 10) -> Message:
    return Message(bytes(size), str(number).encode(), (("kaption-schema", b"RawPair/1"),))


@contextmanager
def spool(folder: Path, max_bytes: int = 10 * MIB) -> Iterator[Spool]:
    opened = Spool(folder, max_bytes)
    try:
        yield opened
    finally:
        opened.close()


def keys(opened: Spool, max_bytes: int = ALL) -> list[int]:
    return [int(each.key or b"-1") for _, each in opened.read(max_bytes)]


def fill(opened: Spool, count: int, size: int = 10) -> None:
    for number in range(count):
        opened.append(message(number, size), 0)


def acknowledge(opened: Spool, count: int) -> None:
    opened.acknowledge(opened.read(ALL)[count - 1][0])


def disk_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def left_by_a_kill(folder: Path, copy: Path) -> Path:
    """The files of a spool that is open, as a killed process would leave them."""
    shutil.copytree(folder, copy)
    return copy


def flip_a_bit(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@given(
    st.builds(
        Message,
        st.binary(),
        st.none() | st.binary(),
        st.lists(st.tuples(st.text(max_size=9), st.binary())).map(tuple),
    )
)
def test_messages_come_back_as_they_were(message: Message) -> None:
    assert from_row(to_row(message)) == message


def test_what_was_appended_is_there_after_a_restart(tmp_path: Path) -> None:
    with spool(tmp_path) as first:
        fill(first, 5)

    with spool(tmp_path) as second:
        second.append(message(5), 0)
        assert keys(second) == [0, 1, 2, 3, 4, 5]


def test_what_was_appended_is_there_after_a_kill(tmp_path: Path) -> None:
    with spool(tmp_path / "first") as first:
        for number in range(5):
            first.append(message(number), 0)
            copy = left_by_a_kill(tmp_path / "first", tmp_path / f"copy{number}")
            with spool(copy) as second:
                assert keys(second) == list(range(number + 1))


def test_what_was_acknowledged_is_not_read_again(tmp_path: Path) -> None:
    with spool(tmp_path) as first:
        fill(first, 5)
        acknowledge(first, 3)
        assert keys(first) == [3, 4]

    with spool(tmp_path) as second:
        assert keys(second) == [3, 4]
        acknowledge(second, 2)
    with spool(tmp_path) as third:
        third.append(message(5), 0)
        assert keys(third) == [5]


def test_reading_takes_so_many_bytes_and_at_least_one_message(tmp_path: Path) -> None:
    with spool(tmp_path) as opened:
        fill(opened, 5, size=1000)

        assert keys(opened, max_bytes=1) == [0]
        assert keys(opened, max_bytes=2000) == [0, 1]


def test_a_full_spool_refuses_at_once_or_waits_for_room(tmp_path: Path) -> None:
    with spool(tmp_path, max_bytes=MIB) as opened:
        with pytest.raises(BufferFullError, match="raise spool_bytes"):
            fill(opened, 2000, size=10_000)
        room = threading.Timer(0.05, acknowledge, [opened, len(opened.read(ALL))])
        room.start()

        opened.append(message(99, 10_000), max_block_s=60)

        room.join()
        assert keys(opened) == [99]
        assert (tmp_path / "messages.db").stat().st_size <= MIB + 2 * PAGE_BYTES


def test_a_message_larger_than_the_spool_goes_alone(tmp_path: Path) -> None:
    with spool(tmp_path, max_bytes=5_000) as opened:
        opened.append(message(0, 10_000), 0)
        with pytest.raises(BufferFullError):
            opened.append(message(1), 0)
        acknowledge(opened, 1)

        opened.append(message(2, 10_000), 0)

        assert keys(opened) == [2]


def test_the_files_do_not_grow_with_what_has_gone_through(tmp_path: Path) -> None:
    largest = 0
    with spool(tmp_path, max_bytes=4 * MIB) as opened:
        for _ in range(40):
            # Until it is full: 80 MiB in all
            with pytest.raises(BufferFullError):
                fill(opened, 1000, size=100_000)
            largest = max(largest, disk_bytes(tmp_path))
            acknowledge(opened, len(opened.read(ALL)) // 2)

    assert largest < 4 * MIB + 32 * MIB
    assert disk_bytes(tmp_path) < 5 * MIB


def test_the_disk_is_given_back_when_a_backlog_is_delivered(tmp_path: Path) -> None:
    with spool(tmp_path, max_bytes=ALL) as opened:
        fill(opened, 60, size=MIB)
        assert disk_bytes(tmp_path) > 60 * MIB
        acknowledge(opened, 56)

        assert disk_bytes(tmp_path) < 20 * MIB
        assert keys(opened) == [56, 57, 58, 59]


def test_reading_does_not_hold_up_writing(tmp_path: Path) -> None:
    with spool(tmp_path, max_bytes=ALL) as opened:
        for number in range(300):
            opened.append(message(number, 100_000), 0)
        reading = threading.Thread(target=keys, args=[opened])
        begin = time.monotonic()
        reading.start()
        opened.append(message(1, 1000), 0)
        appended = time.monotonic() - begin
        reading.join()
        read = time.monotonic() - begin

    assert appended < max(read, 0.2)


@pytest.mark.parametrize("torn", [b"\0", b"\0" * 100, b"\xff" * 50, b"\xff" * 20_000])
def test_a_write_that_was_cut_short_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    with spool(tmp_path / "first") as first:
        fill(first, 3)
        copy = left_by_a_kill(tmp_path / "first", tmp_path / "copy")
    with (copy / "messages.db-wal").open("ab") as file:
        file.write(torn)

    with spool(copy) as second:
        second.append(message(3), 0)
        assert keys(second) == [0, 1, 2, 3]


def test_a_kill_while_a_message_is_written_leaves_the_others(tmp_path: Path) -> None:
    with spool(tmp_path / "first") as first:
        fill(first, 2)
        before = (tmp_path / "first" / "messages.db-wal").stat().st_size
        accepted = left_by_a_kill(tmp_path / "first", tmp_path / "accepted")
        first.append(message(2), 0)
        whole = (tmp_path / "first" / "messages.db-wal").read_bytes()

    for length in range(before, len(whole), 997):
        shutil.rmtree(tmp_path / "cut", ignore_errors=True)
        # The note that a message is on the disk is written after its transaction.
        copy = left_by_a_kill(accepted, tmp_path / "cut")
        (copy / "messages.db-wal").write_bytes(whole[:length])
        with spool(copy) as cut:
            assert keys(cut) == [0, 1]


@pytest.mark.parametrize("part", [0, 0.3, 0.5, 0.9])
def test_damage_of_what_was_accepted_is_an_error_not_a_loss(tmp_path: Path, part: float) -> None:
    with spool(tmp_path / "first") as first:
        fill(first, 5, size=10_000)
        copy = left_by_a_kill(tmp_path / "first", tmp_path / "copy")
    wal = copy / "messages.db-wal"
    flip_a_bit(wal, int(part * wal.stat().st_size))

    for _ in range(2):
        with pytest.raises(SpoolError, match=r"damaged \(messages \d to 5 are lost\): restore"):
            Spool(copy, MIB)


@pytest.mark.parametrize("part", [0, 0.3, 0.5, 0.7, 0.9])
def test_damage_of_the_database_is_an_error_not_a_loss(tmp_path: Path, part: float) -> None:
    with spool(tmp_path) as first:
        fill(first, 20, size=10_000)
    database = tmp_path / "messages.db"
    flip_a_bit(database, int(part * database.stat().st_size))

    def read() -> None:
        with spool(tmp_path) as second:
            keys(second)

    with pytest.raises(SpoolError, match=r"is damaged .*restore the folder, or move it away"):
        read()


@pytest.mark.parametrize(
    ("file", "error"),
    [
        ("messages.db", r"messages\.db is missing\): restore"),
        ("messages.db-wal", r"messages 1 to 6 are lost\): restore"),
    ],
)
def test_a_missing_file_is_an_error_not_a_loss(tmp_path: Path, file: str, error: str) -> None:
    with spool(tmp_path / "first") as first:
        fill(first, 6)
        copy = left_by_a_kill(tmp_path / "first", tmp_path / "copy")
    (copy / file).rename(tmp_path / "away")

    for _ in range(2):
        with pytest.raises(SpoolError, match=error):
            Spool(copy, MIB)

    # The files that are there were left alone: putting the database back mends it
    if file == "messages.db":
        (tmp_path / "away").rename(copy / file)
        with spool(copy) as restored:
            assert keys(restored) == list(range(6))


@pytest.mark.parametrize(
    ("rows", "error"), [("number = 2", "message 2 is"), ("1", "messages 1 to 3 are")]
)
def test_messages_that_vanish_are_an_error_not_a_loss(
    tmp_path: Path, rows: str, error: str
) -> None:
    with spool(tmp_path) as opened:
        fill(opened, 3)
        opened._messages._connection.execute(f"DELETE FROM messages WHERE {rows}")

        with pytest.raises(SpoolError, match=rf"is damaged \({error} lost\): restore"):
            opened.read(ALL)


@pytest.mark.parametrize("content", [b"", b"\xff" * 20])
def test_a_lost_note_of_the_progress_loses_no_message(tmp_path: Path, content: bytes) -> None:
    with spool(tmp_path) as first:
        fill(first, 3)
        acknowledge(first, 1)
    (tmp_path / "lock").write_bytes(content)

    with spool(tmp_path) as second:
        second.append(message(3), 0)
        assert keys(second) == [1, 2, 3]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A disk that is full for every file behind `size` bytes: the kernel writes up to there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_raises_and_nothing_half_written_is_read(tmp_path: Path) -> None:
    with spool(tmp_path / "first") as opened:
        opened.append(message(0, 5_000), 0)
        full = (tmp_path / "first" / "messages.db-wal").stat().st_size + 4 * PAGE_BYTES
        with files_of_at_most(full):
            with pytest.raises(SpoolError, match=r"make room on its disk.*not accepted"):
                opened.append(message(1, 50_000), 0)
            opened.append(message(2, 500), 0)
        opened.append(message(3, 5_000), 0)

        assert keys(opened) == [0, 2, 3]
        copy = left_by_a_kill(tmp_path / "first", tmp_path / "copy")
    for folder in (tmp_path / "first", copy):
        with spool(folder) as again:
            assert keys(again) == [0, 2, 3]


def test_on_a_full_disk_delivery_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with spool(tmp_path) as opened:
        fill(opened, 3)
        full = (tmp_path / "messages.db-wal").stat().st_size
        with files_of_at_most(full):
            acknowledge(opened, 1)
            acknowledge(opened, 1)
            assert keys(opened) == [2]
        assert caplog.text.count("make room on its disk") == 1
        acknowledge(opened, 1)
        assert keys(opened) == []
    with spool(tmp_path) as again:
        assert keys(again) == []


class Failing(sqlite3.Connection):
    """A connection to a disk that does not confirm what it was given."""

    failing = False

    def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
        if self.failing and sql == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, *parameters)  # type: ignore[arg-type]  # as they came


def test_what_the_disk_does_not_confirm_is_not_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *given, **named: connect(*given, **named, factory=Failing)
    )
    with spool(tmp_path) as opened:
        opened.append(message(0), 0)
        with monkeypatch.context() as patched:
            patched.setattr(Failing, "failing", True)
            with pytest.raises(SpoolError, match="disk I/O error"):
                opened.append(message(1), 0)
        opened.append(message(2), 0)

        assert keys(opened) == [0, 2]


def test_threads_that_append_together_lose_nothing_and_keep_their_order(tmp_path: Path) -> None:
    with spool(tmp_path) as opened:

        def append(thread: int) -> None:
            for number in range(50):
                opened.append(message(thread * 1000 + number), 10)

        threads = [threading.Thread(target=append, args=[number]) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        found = keys(opened)
        assert len(found) == len(set(found)) == 400
        for number in range(8):
            mine = [key for key in found if key // 1000 == number]
            assert mine == sorted(mine)


def test_threads_that_append_together_share_a_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[int] = []
    append = MessageLog.append

    def slow(log: MessageLog, rows: Sequence[Row]) -> None:
        groups.append(len(rows))
        time.sleep(0.05)
        append(log, rows)

    monkeypatch.setattr(MessageLog, "append", slow)
    with spool(tmp_path) as opened:
        threads = [
            threading.Thread(target=opened.append, args=[message(number), 10])
            for number in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sum(groups) == 20
    assert len(groups) <= 5


FORK = """
import os, sys, threading, time
from pathlib import Path
from kaption.connections.kafka.messages import Message
from kaption.producers.spool.spool import Spool

folder = Path(sys.argv[1])
parent = Spool(folder / "parent", 2**30)
stop = False
count = 0

def append():
    global count
    while not stop:
        parent.append(Message(bytes(2000)), 10)
        count += 1

threads = [threading.Thread(target=append) for _ in range(2)]
for thread in threads:
    thread.start()
for number in range(10):
    child = os.fork()
    if not child:
        own = Spool(folder / f"child{number}", 2**20)
        own.append(Message(b"child"), 10)
        own.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop = True
for thread in threads:
    thread.join()
found = len(parent.read(2**30))
assert found == count, (found, count)
if not (child := os.fork()):
    time.sleep(0.5)
    again = Spool(folder / "parent", 2**30)  # which its parent has closed by now
    assert len(again.read(2**30)) == count
    again.close()
    sys.exit(0)
parent.close()
assert os.waitpid(child, 0)[1] == 0
again = Spool(folder / "parent", 2**30)
assert len(again.read(2**30)) == count
"""


KILLED = r"""
import os, sys, threading
from pathlib import Path
from kaption.connections.kafka.messages import Message
from kaption.producers.spool.spool import Spool

spool = Spool(Path(sys.argv[1]), 2**22)
begin = int(sys.argv[2])

def append():
    for number in range(begin, begin + 1_000_000):
        spool.append(Message(bytes(number % 7 * 1000), b"%d" % number), 60)
        os.write(1, b"a %d\n" % number)

threading.Thread(target=append, daemon=True).start()
while True:
    if found := spool.read(30_000):
        os.write(1, b"r %s %s\n" % (found[0][1].key, found[-1][1].key))
        spool.acknowledge(found[-1][0])
"""


def test_kills_at_any_moment_lose_nothing(tmp_path: Path) -> None:
    accepted = delivered = -1
    for kill in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path), str(accepted + 1)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(50 + 37 * kill)]
        process.kill()
        lines += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        for line in lines:
            if not line.endswith("\n"):
                continue
            what, *numbers = line.split()
            if what == "a":
                accepted = int(numbers[0])
            else:
                # From the end of what was delivered before, or from an earlier place again
                assert int(numbers[0]) <= delivered + 1
                delivered = max(delivered, int(numbers[1]))
        # The one that was on the disk when its thread was killed may have been delivered, too.
        accepted = max(accepted, delivered)

    with spool(tmp_path) as opened:
        left = keys(opened)
    assert not left or left[0] <= delivered + 1
    assert max([delivered, *left]) >= accepted
    assert accepted > 300


END_OF_A_CHILD = """
import os, sys
from pathlib import Path
from kaption.connections.kafka.messages import Message
from kaption.producers.spool.spool import Spool

spool = Spool(Path(sys.argv[1]), 2**20)
spool.append(Message(b"before"), 10)
if not (child := os.fork()):
    del spool
    sys.exit(0)  # by way of the interpreter's end, which frees what is left
assert os.waitpid(child, 0)[1] == 0
spool.append(Message(b"after"), 10)
os._exit(0)  # as a kill ends it
"""


def test_a_child_that_ends_takes_nothing_from_its_parent(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", END_OF_A_CHILD, str(tmp_path)], check=True, timeout=60)

    with spool(tmp_path) as opened:
        assert [each.value for _, each in opened.read(ALL)] == [b"before", b"after"]


def test_children_that_are_forked_at_any_moment_harm_nothing(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FORK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_folder_has_one_owner_at_a_time(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from kaption.producers.spool.spool import Spool\n"
    )
    script += "Spool(Path(sys.argv[1]), 1000)"
    other = [sys.executable, "-c", script, str(tmp_path)]

    with spool(tmp_path):
        with pytest.raises(SpoolError, match="in use by another Publisher: give each a folder"):
            Spool(tmp_path, MIB)
        refused = subprocess.run(other, capture_output=True, text=True, check=False)
    allowed = subprocess.run(other, capture_output=True, text=True, check=False)

    assert "is in use by another Publisher" in refused.stderr
    assert (allowed.returncode, allowed.stderr) == (0, "")


def test_a_child_that_was_just_forked_does_not_hold_up_the_next_owner(tmp_path: Path) -> None:
    with spool(tmp_path):
        files = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        (lock,) = [int(path.name) for path in files if path.readlink() == tmp_path / "lock"]
        inherited = os.dup(lock)

    with spool(tmp_path):
        os.close(inherited)


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SpoolError, match=r"cannot be used: .*Not a directory"):
        Spool(tmp_path / "file" / "spool", MIB)


def test_nobody_else_may_read_its_files(tmp_path: Path) -> None:
    with spool(tmp_path) as opened:
        fill(opened, 1)
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}

    assert modes == {"lock": 0o600, "messages.db": 0o600, "messages.db-wal": 0o600}


def test_a_closed_spool_takes_nothing(tmp_path: Path) -> None:
    opened = Spool(tmp_path, MIB)
    opened.close()
    opened.close()

    with pytest.raises(ClosedError, match="make another one"):
        opened.append(message(1), 0)
