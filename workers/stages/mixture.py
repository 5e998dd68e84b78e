"""Takes the cosines of right and of wrong pairs apart, and finds a threshold between them.

An alt text and its own image are a matched pair: right, or wrong, nobody knows. The text and
another image are a shuffled pair: surely wrong. So the cosines of the matched ones are a mixture of
those of the shuffled ones and of right ones. docs/evaluation.md compares the estimate with
thresholds set by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kaption.workers.policy.score import ThresholdPolicy
from kaption.workers.stores.cosines import BINS, Cosines

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Counts = NDArray[np.float64]

_USELESS = 0.001
"""Share of wrong texts above a threshold from which a higher one catches nothing more, and would
refuse right texts for nothing."""
_ROUNDS = 100


def estimate(cosines: Cosines, policy: ThresholdPolicy) -> float:
    """The cosine below which a text is refused.

    The right pairs are taken for a normal distribution, which is fitted together with the share of
    wrong ones. Each bin of matched pairs is then divided by these two. The threshold is the
    quantile of the right part, less its standard error. It is not below the floor, and not above
    the cosine that one in a thousand wrong pairs reaches.
    """
    import numpy as np

    matched, shuffled = _array(cosines.matched), _array(cosines.shuffled)
    right = matched * _share_of_right(matched, shuffled)
    count = right.sum()
    if count < 1:
        return max(_above(shuffled, policy.wrong_accepted), _above(shuffled, _USELESS))
    target = policy.false_rejection
    target = max(0.0, target - float(np.sqrt(target * (1 - target) / count)))
    low = _above(shuffled, policy.wrong_accepted)
    high = max(low, _above(shuffled, _USELESS))
    return min(max(_quantile(right, target), low), high)


def quantile(counted: Mapping[int, int], share: float) -> float:
    """The cosine below which that share of the counted ones lies."""
    return _quantile(_array(counted), share)


def floor(cosines: Cosines, policy: ThresholdPolicy) -> float | None:
    """The cosine that the accepted share of wrong texts reaches. None: nothing is known."""
    return _above(_array(cosines.shuffled), policy.wrong_accepted) if cosines.shuffled else None


def _share_of_right(matched: Counts, shuffled: Counts) -> Counts:
    """(BINS,): the probability that a matched pair is a right one, by expectation-maximisation."""
    import numpy as np

    wrong = (shuffled + 1e-3) / (shuffled + 1e-3).sum()
    middle, deviation = _moments(shuffled)
    mean = max(_quantile(matched, 0.75), middle + deviation)
    count, share = matched.sum(), 0.5
    right = np.full(BINS, 0.5)
    for _ in range(_ROUNDS):
        normal = np.exp(-(((_centres() - mean) / deviation) ** 2) / 2)
        normal /= max(normal.sum(), np.finfo(np.float64).tiny)
        part = share * (normal + 1e-12)
        right = part / (part + (1 - share) * wrong)
        held = matched * right
        share = min(max(held.sum() / count, 1e-4), 1 - 1e-4)
        if held.sum() < 1:
            break
        mean, deviation = _moments(held)
    return right


def _moments(counts: Counts) -> tuple[float, float]:
    """Mean and standard deviation; the latter is at least a bin's width."""
    centres, total = _centres(), counts.sum()
    mean = float(counts @ centres / total)
    return mean, max(float(counts @ (centres - mean) ** 2 / total) ** 0.5, 2 / BINS)


def spread(cosines: Cosines) -> float:
    """The standard deviation of the shuffled cosines."""
    return _moments(_array(cosines.shuffled))[1]


def _quantile(counts: Counts, share: float) -> float:
    import numpy as np

    below = np.concatenate([[0.0], counts.cumsum()])
    return float(np.interp(share * below[-1], below, np.linspace(-1, 1, BINS + 1)))


def _above(counts: Counts, share: float) -> float:
    return _quantile(counts, 1 - share)


def _centres() -> Counts:
    import numpy as np

    return (np.arange(BINS) + 0.5) * 2 / BINS - 1


def _array(counted: Mapping[int, int]) -> Counts:
    import numpy as np

    counts = np.zeros(BINS)
    counts[list(counted)] = list(counted.values())
    return counts
