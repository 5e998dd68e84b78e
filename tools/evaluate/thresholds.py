"""Thresholds that set themselves, beside those set by hand, for several shares of wrong texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kaption.workers.models.windows import score_texts
from kaption.workers.plugins import load_scorer
from kaption.workers.policy.score import ThresholdPolicy
from kaption.workers.settings import load_settings
from kaption.workers.stages.mixture import estimate
from kaption.workers.stores.cosines import Cosines, bin_of
from tools.evaluate.figures import Figure, Numbers, auc, mean, resampled, share
from tools.evaluate.held_out import Kept

NOISE = (0.1, 0.3, 0.6)
"""Shares of wrong texts among those that a threshold is learnt from."""
_TEXTS = ThresholdPolicy().warm_up_texts
_OTHERS = 10
"""Texts of other images that each image is scored with."""
_BLUR = (0.0, 0.1, 0.2)
"""Deviation of what is added to each number of an image's embedding: the demo's scorer tells right
from wrong too well to show a difference."""
Rows = NDArray[np.float32]
FLOORS = (ThresholdPolicy(), ThresholdPolicy(wrong_accepted=1.0))


def measure(kept: Sequence[Kept], right: Sequence[bool]) -> list[Figure]:
    """Figures with the demo's scorer. `right` says whose alt text is true of its image."""
    texted = [at for at, one in enumerate(kept) if one.pair.clean_text.strip() and right[at]]
    scorer = load_scorer(load_settings(None, "demo").clip)
    images = scorer.encode_images([scorer.preprocess(kept[at].image) for at in texted])
    found = score_texts(scorer, [kept[at].pair.clean_text for at in texted], images)
    vectors = np.stack([each.vector for each in found])
    figures = []
    for blur in _BLUR:
        rows = images + np.random.default_rng(0).normal(size=images.shape) * blur
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        hand = scorer.recommended_score if not blur else None
        name = f"blur {blur}" if blur else "demo"
        figures += compare(name, *matched(rows, vectors), hand)
    return figures


def matched(images: Rows, texts: Rows) -> tuple[Numbers, Numbers]:
    """(n,) cosines of the own texts, and (n, `_OTHERS`) of texts of other images."""
    count = len(images)
    steps = np.random.default_rng(0).permutation(count - 1)[:_OTHERS] + 1
    others = (np.arange(count)[:, None] + steps) % count
    cosines = np.asarray(images @ texts.T, np.float64)
    return np.diag(cosines), np.take_along_axis(cosines, others, 1)


def compare(name: str, right: Numbers, wrong: Numbers, hand: float | None) -> list[Figure]:
    """Right texts refused and wrong ones caught, by each threshold.

    Each half of the texts is judged by the threshold that the other half gives. `hand` is the
    threshold set by hand; None: the cosine that 98 % of the other half's right texts reach, for
    which somebody has to label them.
    """
    both = np.concatenate([right[:, None], wrong], axis=1)
    figures = [
        resampled(f"{name}: AUC", lambda drawn: auc(drawn[:, 0], drawn[:, 1:].ravel()), both)
    ]
    halves = [np.arange(len(right)) % 2 == half for half in (0, 1)]
    by_hand = [float(np.quantile(right[~at], 0.02)) if hand is None else hand for at in halves]
    figures += _judged(f"{name}, by hand", right, wrong, halves, by_hand)
    for policy in FLOORS:
        for noise in NOISE:
            set_by = [learnt(right[~at], wrong[~at], noise, policy) for at in halves]
            told = "" if policy.wrong_accepted < 1 else ", no floor"
            figures += _judged(
                f"{name}, self-set at {noise:.0%} noise{told}", right, wrong, halves, set_by
            )
    return figures


def learnt(right: Numbers, wrong: Numbers, noise: float, policy: ThresholdPolicy) -> float:
    """The threshold after the warm-up, where a share of the texts is wrong."""
    rng = np.random.default_rng(1)
    bad = round(_TEXTS * noise)
    texts = [*rng.choice(wrong.ravel(), bad), *rng.choice(right, _TEXTS - bad)]
    counts = Cosines(Counter(map(bin_of, texts)), Counter(map(bin_of, wrong.ravel())))
    return estimate(counts, policy)


def _judged(
    name: str,
    right: Numbers,
    wrong: Numbers,
    halves: Sequence[NDArray[np.bool_]],
    thresholds: Sequence[float],
) -> list[Figure]:
    limits = np.where(halves[0], *thresholds)
    return [
        share(f"{name}: right refused", right < limits),
        mean(f"{name}: wrong caught", (wrong < limits[:, None]).mean(1)),
    ]
