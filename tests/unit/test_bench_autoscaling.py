"""The simulated autoscaler acts as KEDA and Kubernetes do, and the chart's values do not flap."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from bench.autoscaling import Controller

ROOT = Path(__file__).parents[2]
VALUES: dict[str, Any] = yaml.safe_load(
    (ROOT / "deploy" / "helm" / "kaption" / "values.yaml").read_text("utf-8")
)
ONE = 16 * 10
"""Lag for one replica, at ten batches for each."""


@pytest.fixture(autouse=True)
def _bench_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def controller(up_s: int = 0, down_s: int = 0) -> Controller:
    from bench.autoscaling import Controller, Tuning

    return Controller(VALUES, Tuning(10, up_s, down_s))


def told(it: Controller, lags: Sequence[float], count: int) -> list[int]:
    """How many replicas run after each look, at these lags in replicas."""
    seen = []
    for at, lag in enumerate(lags):
        count = it.replicas(15 * at, round(lag * ONE), count)
        seen.append(count)
    return seen


def test_up_goes_to_the_least_of_its_window() -> None:
    assert told(controller(up_s=60), [1, 3, 4, 2, 4, 4, 4, 4], 1) == [1, 1, 1, 1, 2, 2, 2, 4]


def test_down_goes_to_the_greatest_of_its_window() -> None:
    assert told(controller(down_s=60), [4, 2, 2, 1, 2, 2], 4) == [4, 4, 4, 4, 3, 3]


def test_a_tenth_more_or_less_changes_nothing() -> None:
    assert told(controller(), [3.3, 2.7, 3.4], 3) == [3, 3, 4]


def test_a_policy_limits_the_change_in_its_period() -> None:
    assert told(controller(), [12] * 9, 1) == [5, 5, 5, 5, 9, 9, 9, 9, 12]
    assert told(controller(), [1] * 9, 4) == [3, 3, 3, 3, 2, 2, 2, 2, 1]
    # What was removed within the period may be added besides.
    assert told(controller(), [4, 12], 5) == [4, 9]


def test_the_first_replica_starts_at_once_and_the_last_one_stops_after_the_cooldown() -> None:
    cooldown = VALUES["startLimitSeconds"] // 15
    after = told(controller(up_s=900, down_s=900), [0, 0.01, *[0] * cooldown, 0], 0)
    assert after == [0, 1, *[1] * cooldown, 0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bursts", "jobs"])
def test_with_the_charts_values_no_flap_is_the_autoscalers_own(kind: str) -> None:
    from bench.autoscaling import DAYS, Controller, Tuning, simulate

    days = [
        simulate(Controller(VALUES, Tuning.chart(VALUES)), DAYS[kind](random.Random(seed)))
        for seed in range(200, 204)
    ]

    assert sum(day.own_flaps for day in days) == 0
    assert sum(day.flaps for day in days) <= 2 * len(days)
    assert sum(day.busy_s for day in days) >= 0.9 * sum(day.running_s for day in days)
    assert max(day.longest_s for day in days) < 3600
