"""Published alignment thresholds: cosines mean nothing without the model that gave them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The cosine at which a published data set kept its pairs, for one model."""

    architecture: str
    """open_clip's name, ``-quickgelu`` left out."""
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
    """The published threshold of an open_clip model, or None where we know of none."""
    name = architecture.removesuffix("-quickgelu").replace("/", "-")
    for entry in RECOMMENDATIONS:
        if (entry.architecture, entry.pretrained) == (name, pretrained):
            return entry.score
    return None
