"""The spool keeps what it accepted, in order and whole, and gives its disk back."""

import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaption.connections.kafka.messages import Message
from kaption.producers.errors import BufferFullError, ClosedError, SpoolError
from kaption.producers.spool.log import PAGE_BYTES
from kaption.producers.spool.rows import from_row, to_row
from kaption.producers.spool.spool import Spool
from support.spooling import ALL, MIB, acknowledge, fill, keys, left_by_a_kill, message, spool

pytestmark = pytest.mark.slow


def disk_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


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
