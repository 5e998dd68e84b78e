"""Crashes, lost answers and zombies in any order: each record is in exactly one shard."""

import pytest
from hypothesis import HealthCheck, settings

from support.sink_machine import Sinks

pytestmark = pytest.mark.slow

TestInterleavings = Sinks.TestCase
TestInterleavings.settings = settings(
    max_examples=40,
    stateful_step_count=12,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
