"""Published alignment thresholds by model: the cosines of two models cannot be compared."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The cosine of one model from which on a published data set kept its pairs."""

    architecture: str
    """The name in open_clip, without ``-quickgelu``."""
    pretrained: str
    score: float
    source: str


RECOMMENDATIONS = (
    Recommendation(
        "ViT-B-32",
        "openai",
        0.28,
        "LAION-5B (Schuhmann et al. 2022) kept English pairs at 0.28 and more; LAION-400M at 0.30",
    ),
)


def recommended_score(architecture: str, pretrained: str | None) -> float | None:
    """The published threshold of an open_clip model; None where none is known."""
    name = architecture.removesuffix("-quickgelu").replace("/", "-")
    for entry in RECOMMENDATIONS:
        if (entry.architecture, entry.pretrained) == (name, pretrained):
            return entry.score
    return None
