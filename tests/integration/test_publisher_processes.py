"""A publisher is shared by threads, and belongs to the process that made it."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kaption.producers import Publisher
from kaption.workers.local import Tansu
from support.publishing import pair, published_pairs, with_topic

FORK = """
import os, sys
from pathlib import Path
from kaption.connections.settings import KafkaConnection
from kaption.producers import ForkedError, Publisher

connection = KafkaConnection(bootstrap=sys.argv[1], topic_prefix=sys.argv[2])
spool = Path(sys.argv[3]) if len(sys.argv) > 3 else None
publisher = Publisher(connection, spool=spool)
publish = {"image": "https://a.example/1.jpg", "text": "t"}
publisher.publish(**publish, pair_id="before")
child = os.fork()
if not child:
    refused = 0
    for call in (lambda: publisher.publish(**publish), publisher.flush, publisher.close):
        try:
            call()
        except ForkedError as error:
            assert "after the fork" in str(error)
            refused += 1
    own = spool / "child" if spool else None
    with Publisher(connection, spool=own) as mine:
        mine.publish(**publish, pair_id="child")
    sys.exit(refused)  # by way of the handlers that the libraries left for it
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
publisher.publish(**publish, pair_id="after")
publisher.close()
sys.exit(status)
"""

ASYNC_FORK = """
import asyncio, os, sys
from kaption.producers import AsyncPublisher, ForkedError
from kaption.connections.settings import KafkaConnection

connection = KafkaConnection(bootstrap=sys.argv[1], topic_prefix=sys.argv[2])
publisher = AsyncPublisher(connection)
publish = {"image": "https://a.example/1.jpg", "text": "t"}

async def opened():
    await publisher.__aenter__()
    await publisher.publish(**publish, pair_id="before")

async def refused():
    calls = (
        lambda: publisher.publish(**publish),
        lambda: publisher.publish_bytes(b"{}"),
        publisher.flush,
        publisher.close,
        publisher.__aenter__,
    )
    count = 0
    for call in calls:
        try:
            await asyncio.wait_for(call(), 5)
        except ForkedError:
            count += 1
    return count

asyncio.run(opened())
child = os.fork()
if not child:
    os._exit(asyncio.run(refused()))
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
asyncio.run(publisher.close())
sys.exit(status)
"""

LEFT_BEHIND = """
import os, sys
from pathlib import Path
from kaption.producers import Publisher
from kaption.connections.settings import KafkaConnection

connection = KafkaConnection(bootstrap=sys.argv[1], topic_prefix=sys.argv[2])
ask, answer = os.pipe()
first = Publisher(connection, spool=Path(sys.argv[3]))
if not os.fork():
    os.close(answer)
    os.read(ask, 1)  # until its parent has ended
    os._exit(0)
first.close()
Publisher(connection, spool=Path(sys.argv[3])).close()
"""


@pytest.mark.parametrize("spooled", [False, True])
def test_a_forked_child_makes_its_own(
    tansu: Tansu, topic_prefix: str, tmp_path: Path, spooled: bool
) -> None:
    connection = with_topic(tansu.bootstrap, topic_prefix)
    spool = [str(tmp_path)] if spooled else []

    ended = subprocess.run(
        [sys.executable, "-c", FORK, connection.bootstrap, topic_prefix, *spool],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )

    assert (ended.returncode, ended.stderr) == (3, "")
    ids = sorted(each.pair_id for each in published_pairs(connection))
    assert ids == ["after", "before", "child"]


def test_in_a_forked_child_the_publisher_of_an_event_loop_says_so(
    tansu: Tansu, topic_prefix: str
) -> None:
    connection = with_topic(tansu.bootstrap, topic_prefix)

    ended = subprocess.run(
        [sys.executable, "-c", ASYNC_FORK, connection.bootstrap, topic_prefix],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )

    assert (ended.returncode, ended.stderr) == (5, "")
    assert [each.pair_id for each in published_pairs(connection)] == ["before"]


def test_a_child_does_not_keep_the_spool(tansu: Tansu, topic_prefix: str, tmp_path: Path) -> None:
    connection = with_topic(tansu.bootstrap, topic_prefix)

    ended = subprocess.run(
        [sys.executable, "-c", LEFT_BEHIND, connection.bootstrap, topic_prefix, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )

    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("spooled", [False, True])
def test_threads_share_it(tansu: Tansu, topic_prefix: str, tmp_path: Path, spooled: bool) -> None:
    connection = with_topic(tansu.bootstrap, topic_prefix)
    errors: list[Exception] = []

    with Publisher(connection, spool=tmp_path if spooled else None) as publisher:

        def crawl(thread: int) -> None:
            try:
                for number in range(50):
                    publisher.publish(pair(thread * 100 + number))
                    if number % 20 == thread:
                        publisher.flush()
            except Exception as error:  # noqa: BLE001  # looked at below
                errors.append(error)

        threads = [threading.Thread(target=crawl, args=[number]) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert errors == []
    ids = sorted(each.pair_id for each in published_pairs(connection))
    assert ids == sorted(f"pair-{t * 100 + n}" for t in range(8) for n in range(50))
