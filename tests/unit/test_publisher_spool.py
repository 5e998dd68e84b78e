"""The spool keeps what it accepted, in order and whole, whatever happens to its process."""

import errno
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaption.connections.kafka.messages import Message
from kaption.producers.errors import BufferFullError, ClosedError, SpoolError
from kaption.producers.packing import pack, unpack
from kaption.producers.spool.spool import Spool

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
    groups = opened.read(max_bytes)
    return [int(each.key or b"-1") for group in groups for each in group.messages]


def fill(opened: Spool, count: int, size: int = 10) -> None:
    for number in range(count):
        opened.append(message(number, size), 0)


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.segment"))


@given(
    st.lists(
        st.builds(
            Message,
            st.binary(),
            st.none() | st.binary(),
            st.lists(st.tuples(st.text(max_size=9), st.binary())).map(tuple),
        )
    )
)
def test_messages_come_back_as_they_were(messages: list[Message]) -> None:
    assert list(unpack(b"".join(pack(each) for each in messages))) == messages


def test_what_was_appended_is_there_after_a_restart(tmp_path: Path) -> None:
    with spool(tmp_path) as first:
        fill(first, 5)

    with spool(tmp_path) as second:
        second.append(message(5), 0)
        assert keys(second) == [0, 1, 2, 3, 4, 5]


def test_what_was_acknowledged_is_not_read_again(tmp_path: Path) -> None:
    with spool(tmp_path) as first:
        fill(first, 5)
        first.acknowledge(first.read(ALL)[2].end)
        assert keys(first) == [3, 4]

    with spool(tmp_path) as second:
        assert keys(second) == [3, 4]


def test_reading_takes_so_many_bytes_and_at_least_one_group(tmp_path: Path) -> None:
    with spool(tmp_path) as opened:
        fill(opened, 5, size=1000)

        assert keys(opened, max_bytes=1) == [0]
        assert keys(opened, max_bytes=2000) == [0, 1]


def test_files_are_deleted_when_all_they_hold_is_acknowledged(tmp_path: Path) -> None:
    with spool(tmp_path, max_bytes=80_000) as opened:
        fill(opened, 50, size=1000)
        assert len(segments(tmp_path)) == 6
        half = opened.read(ALL)[24].end

        opened.acknowledge(half)

        assert len(segments(tmp_path)) == 4
        assert keys(opened) == list(range(25, 50))
    with spool(tmp_path, max_bytes=80_000) as again:
        assert keys(again) == list(range(25, 50))


def test_a_full_spool_refuses_at_once_or_waits_for_room(tmp_path: Path) -> None:
    with spool(tmp_path, max_bytes=20_000) as opened:
        with pytest.raises(BufferFullError, match="raise spool_bytes"):
            fill(opened, 50, size=1000)
        groups = opened.read(ALL)
        room = threading.Timer(0.05, opened.acknowledge, [groups[-1].end])
        room.start()

        opened.append(message(99, 1000), max_block_s=60)

        room.join()
        assert keys(opened) == [99]
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000


def test_a_message_larger_than_the_spool_goes_alone(tmp_path: Path) -> None:
    with spool(tmp_path, max_bytes=5_000) as opened:
        opened.append(message(0, 10_000), 0)
        with pytest.raises(BufferFullError):
            opened.append(message(1), 0)
        opened.acknowledge(opened.read(ALL)[-1].end)

        opened.append(message(2, 10_000), 0)

        assert keys(opened) == [2]


@pytest.mark.parametrize("torn", [b"\0", b"\0" * 100, b"\0\0\0\x10checksum", b"\xff" * 50])
def test_a_write_that_was_cut_short_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    with spool(tmp_path) as first:
        fill(first, 3)
    with segments(tmp_path)[-1].open("ab") as file:
        file.write(torn)

    with spool(tmp_path) as second:
        second.append(message(3), 0)
        assert keys(second) == [0, 1, 2, 3]


def test_every_cut_of_the_last_frame_leaves_the_others(tmp_path: Path) -> None:
    with spool(tmp_path) as first:
        fill(first, 2)
    (path,) = segments(tmp_path)
    whole = path.read_bytes()

    for length in range(len(whole) // 2 + 1, len(whole), 3):
        path.write_bytes(whole[:length])
        with spool(tmp_path) as cut:
            assert keys(cut) == [0]


def test_damage_before_whole_frames_is_an_error_not_a_loss(tmp_path: Path) -> None:
    with spool(tmp_path) as first:
        fill(first, 3)
    (path,) = segments(tmp_path)
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)

    with pytest.raises(SpoolError, match=r"segment is damaged at byte 0: restore it"):
        Spool(tmp_path, MIB)


def test_a_missing_file_is_an_error_not_a_loss(tmp_path: Path) -> None:
    with spool(tmp_path, max_bytes=8_000) as first:
        fill(first, 6, size=1000)
    segments(tmp_path)[2].unlink()

    with pytest.raises(SpoolError, match=r"3\.segment is missing"):
        Spool(tmp_path, MIB)


@pytest.mark.parametrize("content", [b"", b"\xff" * 20])
def test_a_lost_place_sends_again_rather_than_skips(tmp_path: Path, content: bytes) -> None:
    with spool(tmp_path) as first:
        fill(first, 3)
        first.acknowledge(first.read(ALL)[0].end)
    (tmp_path / "acknowledged").write_bytes(content)

    with spool(tmp_path) as second:
        assert keys(second) == [0, 1, 2]


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
    with spool(tmp_path) as opened:
        opened.append(message(0, 5_000), 0)
        with files_of_at_most(8_000):
            with pytest.raises(SpoolError, match=r"make room on its disk.*not accepted"):
                opened.append(message(1, 5_000), 0)
            assert segments(tmp_path)[0].stat().st_size < 6_000
            opened.append(message(2, 500), 0)
        opened.append(message(3, 5_000), 0)

        assert keys(opened) == [0, 2, 3]
    with spool(tmp_path) as again:
        assert keys(again) == [0, 2, 3]


def test_what_the_disk_does_not_confirm_is_not_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with spool(tmp_path) as opened:
        opened.append(message(0), 0)
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fail)
            with pytest.raises(SpoolError, match="Input/output error"):
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


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SpoolError, match=r"cannot be used: .*Not a directory"):
        Spool(tmp_path / "file" / "spool", MIB)


def test_a_closed_spool_takes_nothing(tmp_path: Path) -> None:
    opened = Spool(tmp_path, MIB)
    opened.close()
    opened.close()

    with pytest.raises(ClosedError, match="make another one"):
        opened.append(message(1), 0)
