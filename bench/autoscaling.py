"""Simulates KEDA on the lag of recaption over two kinds of days: `python -m bench.autoscaling`.

No server takes part. A day of bursts has few records at night and many by day, twelve bursts of
five minutes to an hour with three times the mean on top, and three hours of nothing. A day of jobs
has thirty crawls and nothing else; each begins and ends at once, takes two minutes to three hours,
and sends 6 to 75 records a second. A replica does 14 records a second, as in `kaption size`, and
loads its model for two minutes.

KEDA and the HorizontalPodAutoscaler that it makes act as their code does (pkg/scaling/executor of
KEDA, pkg/controller/podautoscaler of Kubernetes), with the chart's values:

- As many replicas are recommended as the lag has thresholds, and as many as run within 10 %.
- Up to the least recommendation of the one window, down to the greatest of the other one, and no
  faster than the policies say. Removed replicas may be added again, and the other way round.
- From none to one at once, and to none when there was no lag for the cooldown.

Records count as lag until they are committed, two batches after they are begun. Idle is the share
of the replicas' time without a record, in which they load as well. A flap is a replica that is
started within 15 minutes after another one was stopped. It is the autoscaler's own if the records
that came a second needed no more replicas than at the stop; otherwise the load asked for it.
"""

from __future__ import annotations

import argparse
import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_VALUES = Path(__file__).parents[1] / "deploy" / "helm" / "kaption" / "values.yaml"
_STAGE = "recaption"
_BATCH = 16
_RECORDS_S = 14.0
_START_S = 120
_MEAN_S = 30.0
_DAY_S = 86_400
_HOUR_S = 3600
_FLAP_S = 900
_TOLERANCE = 0.1
_EVERY_S = 15
"""How often Kubernetes looks at an HPA."""


@dataclass(frozen=True)
class Tuning:
    """What a row of the table varies."""

    batches: int
    up_s: int
    """The window of the least recommendation."""
    down_s: int
    """The window of the greatest one."""

    @classmethod
    def of(cls, text: str) -> Tuning:
        """Read BATCHES/UP/DOWN."""
        return cls(*map(int, text.split("/")))

    @classmethod
    def chart(cls, values: Mapping[str, Any]) -> Tuning:
        """The chart's own."""
        stage = values["stages"][_STAGE]
        up, down = (
            values["behavior"][way] | stage.get("behavior", {}).get(way, {})
            for way in ("scaleUp", "scaleDown")
        )
        down_s = down["stabilizationWindowSeconds"]
        return cls(
            stage["batchesPerReplica"],
            up["stabilizationWindowSeconds"],
            values["startLimitSeconds"] if down_s is None else down_s,
        )


@dataclass
class Controller:
    """Says how many replicas there are to be."""

    values: Mapping[str, Any]
    tuning: Tuning
    activation: int = 0
    """Records of lag that start no replica."""
    _active: int = 0
    _asked: deque[tuple[int, int]] = field(default_factory=deque)
    _changed: deque[tuple[int, int]] = field(default_factory=deque)

    def replicas(self, now: int, lag: int, count: int) -> int:
        """At `now`, while `count` replicas run. To be asked every 15 seconds."""
        least = int(self.values["stages"][_STAGE]["minReplicas"])
        active = lag > self.activation
        if active:
            self._active = now
        if not count:
            return max(1, least) if active else least
        if not (active or least) and now - self._active > self.values["startLimitSeconds"]:
            return 0
        wanted = self._limited(now, count, self._steady(now, lag, count))
        if wanted != count:
            self._changed.append((now, wanted - count))
        return wanted

    def _steady(self, now: int, lag: int, count: int) -> int:
        share = min(lag / (self.tuning.batches * _BATCH), self.values["partitions"])
        within = abs(share / count - 1) <= _TOLERANCE
        self._asked.append((now, count if within else math.ceil(share)))
        while self._asked[0][0] <= now - max(1, self.tuning.up_s, self.tuning.down_s):
            self._asked.popleft()
        last = self._asked[-1][1]
        lowest = min([last, *self._since(now - self.tuning.up_s)])
        highest = max([last, *self._since(now - self.tuning.down_s)])
        return min(max(count, lowest), highest)

    def _since(self, before: int) -> Iterable[int]:
        return (asked for at, asked in self._asked if at > before)

    def _limited(self, now: int, count: int, wanted: int) -> int:
        stage = self.values["stages"][_STAGE]
        way = "scaleUp" if wanted > count else "scaleDown"
        (policy,) = self.values["behavior"][way]["policies"]
        before = count - sum(by for at, by in self._changed if at > now - policy["periodSeconds"])
        if wanted > count:
            limits = max(count, before + policy["value"]), stage["maxReplicas"]
            return int(min(wanted, *limits))
        limits = min(count, before - policy["value"]), stage["minReplicas"]
        return int(max(wanted, 1, *limits))


@dataclass
class Day:
    """What a day cost."""

    running_s: float = 0.0
    busy_s: float = 0.0
    starts: int = 0
    flaps: int = 0
    own_flaps: int = 0
    longest_s: int = 0
    """The longest wait of a record."""


def bursts(rng: random.Random) -> list[float]:
    """Records of each second of a day of bursts."""
    rates = [_MEAN_S * (0.5 - 0.45 * math.cos(2 * math.pi * at / _DAY_S)) for at in range(_DAY_S)]
    for _ in range(12):
        begin = rng.randrange(_DAY_S)
        for at in range(begin, min(_DAY_S, begin + rng.randrange(300, _HOUR_S))):
            rates[at] += 3 * _MEAN_S
    for _ in range(3):
        begin = rng.randrange(_DAY_S)
        rates[begin : begin + _HOUR_S] = [0.0] * len(rates[begin : begin + _HOUR_S])
    return rates


def jobs(rng: random.Random) -> list[float]:
    """Records of each second of a day of jobs."""
    rates = [0.0] * _DAY_S
    for _ in range(30):
        begin = rng.randrange(_DAY_S)
        seconds = round(120 * 90 ** rng.random())
        rate = 6 * 12.5 ** rng.random()
        for at in range(begin, min(_DAY_S, begin + seconds)):
            rates[at] += rate
    return rates


DAYS: Mapping[str, Callable[[random.Random], list[float]]] = {"bursts": bursts, "jobs": jobs}


def simulate(controller: Controller, rates: Sequence[float]) -> Day:
    """Run a day in steps of a second."""
    day, ready = Day(), list[int]()  # when each replica has loaded its model
    came = gone = 0.0
    begun: deque[float] = deque([0.0] * round(2 * _BATCH / _RECORDS_S))
    oldest, before, stopped, needed = 0, rates[0], -_DAY_S, 0
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
        if now % _EVERY_S:
            continue
        # Half a record is one that is there. A millionth is what sums of fractions leave.
        lag = math.ceil(came - gone + sum(begun) - 1e-6)
        wanted = controller.replicas(now, lag, len(ready))
        more = wanted - len(ready)
        if more > 0:
            day.starts += more
            flapped = more if now - stopped < _FLAP_S else 0
            day.flaps += flapped
            day.own_flaps += flapped * (math.ceil(rate / _RECORDS_S) <= needed)
            ready += [now + _START_S] * more
        elif more < 0:
            del ready[wanted:]
            stopped, needed = now, math.ceil(rate / _RECORDS_S)
    return day


def rows(
    days: Sequence[Sequence[float]], settings: Sequence[Tuning], activation: int
) -> Iterator[str]:
    """A row for each setting."""
    values = yaml.safe_load(_VALUES.read_text("utf-8"))
    for each in settings or [Tuning.chart(values)]:
        found = [simulate(Controller(values, each, activation), rates) for rates in days]
        idle = 1 - sum(day.busy_s for day in found) / sum(day.running_s for day in found)
        starts, flaps, own = (
            sum(getattr(day, name) for day in found) / len(found)
            for name in ("starts", "flaps", "own_flaps")
        )
        yield (
            f"{each.batches:7} {each.batches * _BATCH / _RECORDS_S / 60:4.0f} min {each.up_s:5} s "
            f"{each.down_s:5} s {idle:6.1%} {starts:7.1f} {flaps:6.1f} {own:5.1f} "
            f"{max(day.longest_s for day in found) / 60:8.0f} min"
        )


def main() -> None:
    """Print a table for each kind of day."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--settings",
        metavar="BATCHES/UP/DOWN",
        nargs="*",
        type=Tuning.of,
        default=[],
        help="batches for each replica and the windows in seconds; else the chart's",
    )
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the first day")
    parser.add_argument("--activation", type=int, default=0, help="lag that starts no replica")
    given = parser.parse_args()
    for kind, make in DAYS.items():
        days = [make(random.Random(given.seed + at)) for at in range(given.days)]
        print(
            f"days of {kind}\nbatches   work      up    down   idle  starts  flaps   own  longest"
        )
        for row in rows(days, given.settings, given.activation):
            print(row, flush=True)


if __name__ == "__main__":
    main()
