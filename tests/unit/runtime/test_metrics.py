"""Each metric's help: first what it counts in which unit, then `when it moves so: do that`."""

import re

import pytest

from metrics_in_use import OURS, Metric

UNITS = ("Records", "Seconds", "Bytes", "Transactions", "Producers", "Partitions", "Waits")


@pytest.mark.parametrize("metric", OURS, ids=str)
def test_a_metric_says_its_unit_and_what_to_do_when_it_moves(metric: Metric) -> None:
    (family,) = metric.describe()
    what, _, advice = family.documentation.partition(". ")

    assert what.startswith(UNITS)
    assert re.search(r"\w: \w", advice)
