"""States of kafka-python's consumer that only a fault brings about; set by its private attributes.

The only file of the tests that touches one.
"""

from typing import Any


def throw_out_while_rejoining(consumer: Any) -> None:
    """As when the group expels a member in the middle of a rebalance."""
    consumer._coordinator.rejoining = True
    consumer._coordinator.reset_generation()


def forget_assigned_partitions(consumer: Any, topic: str) -> None:
    """As when the partitions of `topic` have changed since the leader assigned them."""
    consumer._coordinator._assignment_snapshot = {topic: set()}


def answer_joins_as_polls_begin(consumer: Any) -> None:
    """As when a join is answered before the I/O thread comes to the poll that waits for it."""
    coordinator = consumer._coordinator
    real = coordinator.ensure_coordinator_ready_async

    async def ready(timeout_ms: float | None = None) -> Any:
        if coordinator._join_task is not None:
            await coordinator._net.sleep(1.0)
        return await real(timeout_ms)

    coordinator.ensure_coordinator_ready_async = ready
