"""A measured figure with its 95 % interval, and the table of all figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from scipy.stats import binomtest, bootstrap

_CONFIDENCE = 0.95
_RESAMPLES = 1000
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    name: str
    value: float
    low: float | None
    """Ends of the 95 % interval. None: the figure is a property of the whole sample."""
    high: float | None
    sample: int
    """How many pairs, captions or statements it was measured on."""


def share(name: str, hits: Sequence[bool] | NDArray[np.bool_]) -> Figure:
    """The share of hits, with Wilson's interval. Raises ValueError for an empty sample."""
    found, count = int(np.sum(hits)), len(hits)
    if not count:
        raise ValueError(f"nothing to measure {name!r} on: take more pairs")
    interval = binomtest(found, count).proportion_ci(_CONFIDENCE, method="wilson")
    return Figure(name, found / count, float(interval.low), float(interval.high), count)


def mean(name: str, values: Sequence[float] | Numbers) -> Figure:
    """The mean, with a bootstrap interval. Raises ValueError for an empty sample."""
    return resampled(name, lambda drawn: float(drawn.mean()), np.asarray(values, np.float64))


def ratio(name: str, parts: Sequence[float], wholes: Sequence[float]) -> Figure:
    """Sum of parts / sum of wholes, one of each for a caption, resampled by captions."""
    both = np.array([parts, wholes], np.float64).T

    def statistic(drawn: Numbers) -> float:
        total = drawn[:, 1].sum()
        return float(drawn[:, 0].sum() / total) if total else 0.0

    return resampled(name, statistic, both)


def resampled(name: str, statistic: Callable[..., float], *samples: Numbers) -> Figure:
    """A statistic of samples, with a percentile bootstrap that draws each sample by itself.

    A sample is an array whose first axis counts what is drawn. Raises ValueError for an empty one.
    """
    if not all(len(sample) for sample in samples):
        raise ValueError(f"nothing to measure {name!r} on: take more pairs")
    indices = tuple(np.arange(len(sample)) for sample in samples)

    def of(*drawn: NDArray[np.int64]) -> float:
        return statistic(*(sample[at] for sample, at in zip(samples, drawn, strict=True)))

    value = of(*indices)
    low = high = value
    if all(len(sample) > 1 for sample in samples):
        interval = bootstrap(
            indices,
            of,
            n_resamples=_RESAMPLES,
            vectorized=False,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        low, high = float(interval.low), float(interval.high)
    return Figure(name, value, low, high, sum(map(len, samples)))


def auc(true: Numbers, false: Numbers) -> float:
    """The probability that a true one is above a false one. Equal ones count as half."""
    ordered = np.sort(false)
    below = np.searchsorted(ordered, true, "left") + np.searchsorted(ordered, true, "right")
    return float(below.mean() / 2 / len(false))


def table(figures: Sequence[Figure]) -> Table:
    """The figures for people."""
    made = Table("", "value", "95 % interval", "sample", box=None, pad_edge=False)
    for column in made.columns[1:]:
        column.justify = "right"
    for one in figures:
        between = "" if one.low is None else f"{_short(one.low)} to {_short(one.high or 0.0)}"
        made.add_row(one.name, _short(one.value), between, str(one.sample))
    return made


def plain(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """The figures as plain data, for JSON."""
    return [asdict(one) for one in figures]


def _short(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
