"""A cheap captioner for a cascade: the captioner `transformers` with one candidate.

    KAPTION_RECAPTION__CAPTIONERS='["rules", "tools.evaluate.cheap:build"]' \\
    KAPTION_RECAPTION__LARGE='["transformers"]' make evaluate ARGS="retrieval facts --run FOLDER"

Then summary.json of the run tells for how many images the large one was asked.
"""

from __future__ import annotations

from kaption.workers.captioners import transformers
from kaption.workers.policy.recaption import RecaptionPolicy


def build(policy: RecaptionPolicy) -> transformers.TransformersCaptioner:
    """Load the model of recaption.transformers. Raises Fatal."""
    given = policy.transformers
    sampling = given.sampling.model_copy(update={"candidates": 1})
    one = policy.model_copy(
        update={"transformers": given.model_copy(update={"sampling": sampling})}
    )
    captioner = transformers.build(one)
    captioner.name = "cheap"
    return captioner
