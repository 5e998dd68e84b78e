"""Wrong alt texts caught and right ones refused, on outcomes made by hand."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest

from kaption.schemas import (
    CaptionKind,
    CleanPair,
    Provenance,
    Reason,
    RejectedPair,
    StageTrace,
)
from kaption.testing.records import caption, clean_pair
from kaption.workers.demo.scenes import Scene, SceneObject
from kaption.workers.demo.truth import Noise, Truth
from tools.evaluate.figures import Figure
from tools.evaluate.filtering import caught, measure
from tools.evaluate.held_out import Case

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCENE = Scene((SceneObject("star", "red", "plain", "large", 0.5, 0.5, 0.2),), "on a road")
RIGHT, WRONG = "a large plain red star on a road", "a small blue ring on a beach"


def kept(text: str, score: float | None, *, asked: bool, original: bool) -> CleanPair:
    """`asked`: the captioner was; `original`: the alt text is among the captions."""
    trace = StageTrace(
        stage="recaption" if asked else "score",
        software="kaption/0",
        config_hash="0",
        finished_at=NOW,
        seconds=0.0,
    )
    own = caption(text, CaptionKind.ORIGINAL if original else CaptionKind.VLM)
    provenance = Provenance(stages=(trace,))
    return clean_pair(0, own, clean_text=text, original_score=score, provenance=provenance)


def rejected(stage: str, score: float | None) -> RejectedPair:
    return RejectedPair(
        pair_id="pair-0",
        stage=stage,
        reason=Reason.LOW_ALIGNMENT,
        rejected_at=NOW,
        record_schema="CaptionedPair/1",
        record={"original": {"score": score}},
    )


def case(kind: Noise, text: str, outcome: CleanPair | RejectedPair | None) -> Case:
    return Case(Truth("pair-0", kind, SCENE, text, text), outcome)


def figure(cases: Sequence[Case], beginning: str) -> Figure:
    (found,) = (one for one in measure(cases) if one.name.startswith(beginning))
    return found


CASES = (
    case(Noise.RIGHT, RIGHT, kept(RIGHT, 0.8, asked=False, original=True)),
    case(Noise.RIGHT, RIGHT, kept(RIGHT, 0.6, asked=True, original=True)),
    case(Noise.RIGHT, RIGHT, rejected("select", 0.4)),
    case(Noise.RIGHT, RIGHT, kept(RIGHT, 0.7, asked=False, original=True)),
    case(Noise.WRONG, WRONG, kept(WRONG, 0.1, asked=True, original=False)),
    case(Noise.WRONG, WRONG, kept(WRONG, 0.5, asked=False, original=True)),
    case(Noise.FILE_NAME, "IMG_1.JPG", kept("", None, asked=True, original=False)),
    # ingest dropped these: they say nothing about the scorer
    case(Noise.EXACT, RIGHT, rejected("ingest", None)),
    case(Noise.WRONG, WRONG, None),
)


@pytest.mark.parametrize(
    ("beginning", "value", "sample"),
    [
        # of 4 x 2 pairs of scores only (0.4, 0.5) is in the wrong order
        ("mismatched alt texts: AUC", 7 / 8, 6),
        ("mismatched caught as shipped", 0.5, 2),
        ("mismatched kept", 0.5, 2),
        ("right alt texts refused", 0.5, 4),
        ("right alt texts whose pair is lost", 0.25, 4),
        ("alt texts without content kept", 0.0, 1),
    ],
)
def test_each_line_counts_its_pairs(beginning: str, value: float, sample: int) -> None:
    found = figure(CASES, beginning)
    assert (found.value, found.sample) == (value, sample)


def test_the_threshold_loses_two_of_a_hundred_right_ones() -> None:
    true = np.arange(101, dtype=np.float64)
    assert list(caught(true, np.array([-1.0, 1.9, 2.0, 50.0]))) == [True, True, False, False]


def test_no_right_alt_text_is_told() -> None:
    with pytest.raises(ValueError, match="take more pairs"):
        measure([case(Noise.WRONG, WRONG, kept(WRONG, 0.1, asked=True, original=False))])
