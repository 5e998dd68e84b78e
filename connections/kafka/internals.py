"""Every touch of a private attribute of kafka-python, and the fault of 3.0.12 it works round.

pyproject.toml admits no other minor version. A contract test names each attribute and fails when
the installed library no longer has it; another one fails when any other file touches one.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from kafka.errors import KafkaError


def forget_offset_fetches(consumer: Any) -> None:
    """Make the next call of `committed` ask the broker anew.

    The consumer keeps the request of a call that timed out and gives its answer, however old, to
    the next call for the same partitions. Records committed in between would be done again.
    """
    consumer._coordinator._offset_fetch_futures.clear()


def go_on_joining(consumer: Any) -> None:
    """Let the next poll finish a rebalance that has begun.

    The consumer begins a rebalance when the partitions of a topic have changed, and compares them
    again in every poll. The leader of a group records the new partitions as soon as it assigns
    them. If the poll ends before the broker has answered the assignment, no later poll sees a
    change, and none waits for the answer. The member then stays in its rebalance without a
    heartbeat, and the group loses it.
    """
    coordinator = consumer._coordinator
    if coordinator.rebalance_in_progress():
        coordinator.request_rejoin()


def release_parked(consumer: Any) -> None:
    """Let the next poll return records of partitions that were paused and are resumed.

    The fetcher takes up the records it parked only where `_next_partition_records` is None, but a
    drained partition leaves an empty object there. A resumed partition is then neither read nor
    fetched until another one has new records. The only public way round is never to pause.
    """
    fetcher = consumer._fetcher
    if not fetcher._next_partition_records:
        fetcher._next_partition_records = None


def let_go_in_child(producer: Any) -> None:
    """In a forked child: keep the garbage collector and the end of the process from closing it.

    `close` would wait for the I/O thread, which only the parent process has.
    """
    producer._closed = True
    producer._unregister_cleanup()


def discard(producer: Any, timeout_s: float) -> None:
    """Close a producer without sending what it still holds, and wait for at most `timeout_s`.

    `close` alone flushes first. After an error the flush fails or waits for messages that nothing
    can deliver any more, and the I/O thread goes on for ever.
    """
    producer._sender.force_close()
    # Its flush raises for each message that was given up just now.
    with suppress(KafkaError):
        producer.close(timeout=timeout_s)
