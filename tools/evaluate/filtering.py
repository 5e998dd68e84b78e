"""How well the stream tells wrong alt texts from right ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kaption.schemas import CaptionKind, CleanPair, RejectedPair
from kaption.workers.demo.truth import RECAPTIONED, agrees
from tools.evaluate.figures import Figure, Numbers, auc, resampled, share
from tools.evaluate.held_out import Case

_FALSE_REJECTIONS = 0.02


def measure(cases: Sequence[Case]) -> list[Figure]:
    """Figures over the pairs that the score stage saw. A copy that ingest dropped is none of them.

    A right alt text is true of its image; a mismatched one is the true description of another
    image. File names are neither: they are counted apart, because cleaning and not the scorer
    catches them.
    """
    seen = [case for case in cases if reached_score(case)]
    right = [case for case in seen if is_right(case)]
    wrong = [case for case in seen if case.truth.kind in RECAPTIONED and scored(case)]
    named = [case for case in seen if case.truth.kind in RECAPTIONED and not scored(case)]
    true, false = scores(right), scores(wrong)
    figures = [
        resampled("mismatched alt texts: AUC of the score", auc, true, false),
        share("mismatched caught at 2 % false rejections", caught(true, false)),
        share("mismatched caught as shipped (sent to the captioner)", _recaptioned(wrong)),
        share("mismatched kept among the captions", [keeps_original(case) for case in wrong]),
        share("right alt texts refused as good (sent to the captioner)", _recaptioned(right)),
        share("right alt texts whose pair is lost", [_lost(case) for case in right]),
    ]
    if named:
        kept = [keeps_original(case) for case in named]
        figures.append(share("alt texts without content kept among the captions", kept))
    return figures


def caught(true: Numbers, false: Numbers) -> NDArray[np.bool_]:
    """Whether each false one is below the score that 98 % of the true ones reach.

    Raises ValueError where there is no true one.
    """
    if not len(true):
        raise ValueError("there is no right alt text with a score: take more pairs")
    below: NDArray[np.bool_] = false < np.quantile(true, _FALSE_REJECTIONS)
    return below


def reached_score(case: Case) -> bool:
    """Whether the pair passed ingest."""
    outcome = case.outcome
    return isinstance(outcome, CleanPair) or (
        isinstance(outcome, RejectedPair) and outcome.stage not in ("ingest", "score")
    )


def is_right(case: Case) -> bool:
    """Whether the alt text as it was found is true of the image.

    A text with typos or markup is right too: its truth is that of the text under the noise.
    """
    truth = case.truth
    text = truth.clean_text if truth.clean_text is not None else truth.alt_text
    return truth.kind not in RECAPTIONED and agrees(text, truth.scene)


def original_score(case: Case) -> float | None:
    """The scorer's cosine of the cleaned alt text and the image. None: there was no text."""
    outcome = case.outcome
    if isinstance(outcome, CleanPair):
        return outcome.original_score
    if isinstance(outcome, RejectedPair) and outcome.record.get("original"):
        score = outcome.record["original"]["score"]
        return None if score is None else float(score)
    return None


def scored(case: Case) -> bool:
    """Whether the alt text has a score."""
    return original_score(case) is not None


def scores(cases: Sequence[Case]) -> Numbers:
    """The scores of the alt texts that have one."""
    found = [original_score(case) for case in cases]
    return np.array([score for score in found if score is not None], np.float64)


def keeps_original(case: Case) -> bool:
    """Whether the alt text is among the kept captions."""
    return isinstance(case.outcome, CleanPair) and any(
        caption.kind is CaptionKind.ORIGINAL for caption in case.outcome.captions
    )


def accepted(case: Case) -> bool:
    """Whether the score stage took the alt text as good, so that no captioner was asked."""
    return isinstance(case.outcome, CleanPair) and not any(
        trace.stage == "recaption" for trace in case.outcome.provenance.stages
    )


def _recaptioned(cases: Sequence[Case]) -> list[bool]:
    return [not accepted(case) for case in cases]


def _lost(case: Case) -> bool:
    return not isinstance(case.outcome, CleanPair)
