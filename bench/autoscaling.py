"""Simulates KEDA on the lag of recaption over bursty days: `python -m bench.autoscaling`.

No server takes part. Records come as crawls send them: few at night and many by day, twelve bursts
of five minutes to an hour with three times the mean on top, and three hours of nothing. A replica
does 14 records a second, as in `kaption size`, and loads its model for two minutes.

KEDA and Kubernetes act as they document it, with the chart's values: as many replicas as the lag
has thresholds, within 10 %; up at once by the chart's policy; down by its policy to the most of the
stabilization window; to none once the lag was small for the cooldown. Records count as lag until
they are committed, two batches after they are begun.

Idle is the share of the replicas' time without a record, in which they load as well. A flap is a
replica that is started within 15 minutes after another one was stopped.
"""

from __future__ import annotations

import argparse
import math
import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_VALUES = Path(__file__).parents[1] / "deploy" / "helm" / "kaption" / "values.yaml"
_BATCH = 16
_RECORDS_S = 14.0
_START_S = 120
_MEAN_S = 30.0
_DAY_S = 86_400
_HOUR_S = 3600
_FLAP_S = 900
_TOLERANCE = 0.1


@dataclass(frozen=True)
class Controller:
    """Says how many replicas there are to be."""

    values: Mapping[str, Any]
    batches: int
    window_s: int
    asked: deque[tuple[int, int]] = field(default_factory=deque)
    changed: deque[tuple[int, int]] = field(default_factory=deque)

    def replicas(self, now: int, lag: float, quiet_s: int, count: int) -> int:
        """At `now`; the lag is small for `quiet_s`, and `count` replicas run."""
        stage, partitions = self.values["stages"]["recaption"], self.values["partitions"]
        if not count:
            return stage["minReplicas"] if quiet_s else 1
        if quiet_s > self.values["startLimitSeconds"]:
            return int(stage["minReplicas"])
        share = min(lag / (self.batches * _BATCH), partitions)
        within = abs(share / count - 1) <= _TOLERANCE
        self.asked.append((now, count if within else min(math.ceil(share), stage["maxReplicas"])))
        while self.asked[0][0] <= now - self.window_s:
            self.asked.popleft()
        if self.asked[-1][1] > count:
            return min(self.asked[-1][1], count + self._left("scaleUp", now))
        kept = max(1, *(each for _, each in self.asked))
        return max(min(kept, count), count - self._left("scaleDown", now))

    def _left(self, way: str, now: int) -> int:
        """How many more the policy lets go this way."""
        (policy,) = self.values["behavior"][way]["policies"]
        sign = 1 if way == "scaleUp" else -1
        recent = (by for at, by in self.changed if at > now - policy["periodSeconds"])
        return int(max(0, policy["value"] - sum(sign * by for by in recent if sign * by > 0)))


@dataclass
class Day:
    """What a day cost."""

    running_s: float = 0.0
    busy_s: float = 0.0
    starts: int = 0
    flaps: int = 0
    longest_s: int = 0
    """The longest wait of a record."""


def arrivals(rng: random.Random) -> list[float]:
    """Records of each second of a day."""
    rates = [_MEAN_S * (0.5 - 0.45 * math.cos(2 * math.pi * at / _DAY_S)) for at in range(_DAY_S)]
    for _ in range(12):
        begin = rng.randrange(_DAY_S)
        for at in range(begin, min(_DAY_S, begin + rng.randrange(300, _HOUR_S))):
            rates[at] += 3 * _MEAN_S
    for _ in range(3):
        begin = rng.randrange(_DAY_S)
        rates[begin : begin + _HOUR_S] = [0.0] * len(rates[begin : begin + _HOUR_S])
    return rates


def simulate(controller: Controller, rates: Sequence[float]) -> Day:
    """Run a day in steps of a second."""
    day, ready = Day(), list[int]()  # when each replica has loaded its model
    came = gone = 0.0
    begun: deque[float] = deque([0.0] * round(2 * _BATCH / _RECORDS_S))
    oldest, before, quiet_since, stopped = 0, rates[0], 0, -_DAY_S
    for now, rate in enumerate(rates):
        came += rate
        done = min(came - gone, _RECORDS_S * sum(at <= now for at in ready))
        gone += done
        day.running_s += len(ready)
        day.busy_s += done / _RECORDS_S
        while before <= gone and oldest < now:  # all that had come by then is done
            oldest += 1
            before += rates[oldest]
        day.longest_s = max(day.longest_s, now - oldest)
        begun.append(done)
        begun.popleft()
        lag = came - gone + sum(begun)
        if lag > controller.values["partitions"]:
            quiet_since = now
        if now % controller.values["keda"]["pollingInterval"]:
            continue
        wanted = controller.replicas(now, lag, now - quiet_since, len(ready))
        if wanted == len(ready):
            continue
        controller.changed.append((now, wanted - len(ready)))
        if wanted > len(ready):
            day.starts += wanted - len(ready)
            day.flaps += (wanted - len(ready)) * (now - stopped < _FLAP_S)
            ready += [now + _START_S] * (wanted - len(ready))
        else:
            del ready[wanted:]
            stopped = now
    return day


def rows(days: Sequence[Sequence[float]], thresholds: Sequence[int]) -> Iterator[str]:
    """A row for each threshold and window."""
    values = yaml.safe_load(_VALUES.read_text("utf-8"))
    for batches in thresholds:
        for window_s in (values["startLimitSeconds"], 300):
            found = [simulate(Controller(values, batches, window_s), rates) for rates in days]
            idle = 1 - sum(day.busy_s for day in found) / sum(day.running_s for day in found)
            yield (
                f"{batches:7} {batches * _BATCH / _RECORDS_S:9.0f} s {window_s:6} s {idle:6.1%} "
                f"{sum(day.starts for day in found) / len(found):7.0f} "
                f"{sum(day.flaps for day in found) / len(found):6.0f} "
                f"{max(day.longest_s for day in found) / 60:8.0f} min"
            )


def main() -> None:
    """Print a row for each threshold and stabilization window."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--batches", type=int, nargs="*", default=[4, 64, 256, 512, 1024, 1280, 1536]
    )
    parser.add_argument("--days", type=int, default=5)
    given = parser.parse_args()
    days = [arrivals(random.Random(seed)) for seed in range(given.days)]
    print("batches its work   window   idle  starts  flaps  longest wait")
    for row in rows(days, given.batches):
        print(row, flush=True)


if __name__ == "__main__":
    main()
