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
