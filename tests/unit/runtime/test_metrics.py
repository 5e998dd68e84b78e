"""Each metric's help: first what it counts in which unit, then `when it moves so: do that`."""

import re

import pytest
from prometheus_client import REGISTRY

from kaption.connections.settings import KafkaConnection
from kaption.workers.runtime.worker import Worker
from support.engine import Toy
from support.metrics_in_use import OURS, Metric

UNITS = (
    *("Records", "Seconds", "Bytes", "Transactions", "Producers", "Partitions", "Waits"),
    *(
        "Requests",
        "Tokens",
        "Cost",
        "Images",
        "Cosine",
        "Perplexity",
        "Share",
        "Shards",
        "Reads",
        "1 while",
    ),
)


@pytest.mark.parametrize("metric", OURS, ids=str)
def test_a_metric_says_its_unit_and_what_to_do_when_it_moves(metric: Metric) -> None:
    (family,) = metric.describe()
    what, _, advice = family.documentation.partition(". ")

    assert what.startswith(UNITS)
    assert re.search(r"\w: \w", advice)


@pytest.mark.parametrize("metric", ["session_rebuilds", "partition_changes", "retries"])
def test_what_alerts_watch_for_a_first_increase_begins_at_0(metric: str) -> None:
    class Fresh(Toy):
        name = "fresh"

    Worker(Fresh(), KafkaConnection())

    assert REGISTRY.get_sample_value(f"kaption_{metric}_total", {"stage": "fresh"}) == 0
