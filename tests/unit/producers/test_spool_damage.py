"""Damaged files of a spool, and disks that fail, lose nothing without an error."""

import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kaption.producers.errors import SpoolError
from kaption.producers.spool.log import PAGE_BYTES
from kaption.producers.spool.spool import Spool
from support.spooling import ALL, MIB, acknowledge, fill, keys, left_by_a_kill, message, spool

pytestmark = pytest.mark.slow


def flip_a_bit(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


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
