"""Threads, forked children and kills lose nothing that a spool accepted."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from kaption.producers.errors import SpoolError
from kaption.producers.spool.log import MessageLog
from kaption.producers.spool.rows import Row
from kaption.producers.spool.spool import Spool
from support.spooling import ALL, MIB, keys, message, spool

pytestmark = pytest.mark.slow


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
        timeout=600,
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
