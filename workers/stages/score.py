"""Score: how well the alt text fits the picture, and so whether it needs a captioner."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from schemas import Caption, CaptionedPair, CaptionKind, IngestedPair, Route, ScoredPair
from schemas.limits import LIST_ITEMS
from schemas.topics import CAPTIONED, INGESTED, SCORED
from workers.models.scorer import Scorer
from workers.models.windows import TextScore, fit, score_texts
from workers.policy import ClipPolicy, Policy, ScorePolicy
from workers.runtime.stage import Batching, Emit, Message, Outcome, Stage
from workers.stages.embedder import ImageEmbedder
from workers.stages.pictures import Blobs
from workers.stages.trace import Tracer
from workers.stores.embeddings import EmbeddingCache

if TYPE_CHECKING:
    from workers.stages.embedder import ImageInput


class _Configuration(Policy):
    """Everything the result depends on, for the provenance's hash."""

    score: ScorePolicy
    clip: ClipPolicy


@dataclass(frozen=True, slots=True)
class ScoreInput:
    """A picture ready to be embedded."""

    image: ImageInput
    seconds: float


class ScoreStage(Stage[IngestedPair, ScoreInput]):
    """Good alt texts go straight to select, the others to the captioner."""

    name = "score"
    inputs = (INGESTED,)
    outputs = (SCORED, CAPTIONED)

    def __init__(
        self,
        policy: ScorePolicy,
        clip: ClipPolicy,
        blobs: Blobs,
        embeddings: EmbeddingCache,
        *,
        load_scorer: Callable[[ClipPolicy], Scorer],
        now: Callable[[], datetime],
    ) -> None:
        self._policy = policy
        self._clip = clip
        self._blobs = blobs
        self._embeddings = embeddings
        self._load_scorer = load_scorer
        self._tracer = Tracer(self.name, _Configuration(score=policy, clip=clip), now)

    @property
    def batching(self) -> Batching:
        """Of the policy."""
        return Batching(self._policy.batch_records, self._policy.batch_wait_s)

    def setup(self) -> None:
        """Load the scorer. Raises Fatal."""
        self._scorer = self._load_scorer(self._clip)
        self._embedder = ImageEmbedder(self._scorer, self._blobs, self._embeddings)
        given = self._policy.good_score
        self._good_score = self._scorer.recommended_score if given is None else given

    def prepare(self, message: Message[IngestedPair]) -> ScoreInput:
        """Cached embedding, or pixels. Raises Reject (blob missing), Dead, Retry."""
        began = time.perf_counter()
        image = self._embedder.prepare(message.record.image)
        return ScoreInput(image, time.perf_counter() - began)

    def process(
        self, batch: Sequence[tuple[Message[IngestedPair], ScoreInput]]
    ) -> Sequence[Outcome]:
        """Embed what is not cached, score the alt texts, route."""
        began = time.perf_counter()
        pairs = [message.record for message, _ in batch]
        images = self._embedder.embed([pair.image for pair in pairs], [i.image for _, i in batch])
        texted = [at for at, pair in enumerate(pairs) if pair.clean_text.strip()]
        texts = [pairs[at].clean_text for at in texted]
        scores = score_texts(self._scorer, self._clip, texts, images[texted])
        found = dict(zip(texted, scores, strict=True))
        share = (time.perf_counter() - began) / len(batch)
        return [
            self._route(pair, found.get(at), prepared.seconds + share)
            for at, (pair, (_, prepared)) in enumerate(zip(pairs, batch, strict=True))
        ]

    def ready(self) -> str | None:
        """None when blob store and cache answer."""
        return self._embedder.ready()

    def _route(self, pair: IngestedPair, score: TextScore | None, seconds: float) -> Emit:
        trace = self._tracer.trace(
            seconds,
            {self._scorer.model: self._scorer.revision},
            self._scorer.preprocessing_id,
        )
        fields = dict(pair) | {
            "original": None if score is None else self._caption(pair.clean_text, score),
            "provenance": pair.provenance.then(trace),
        }
        if score is not None and score.score >= self._good_score:
            good = CaptionedPair(**fields, route=Route.ALT_TEXT_GOOD)
            return Emit(((CAPTIONED, good),))
        return Emit(((SCORED, ScoredPair(**fields, route=Route.NEEDS_CAPTION)),))

    def _caption(self, text: str, score: TextScore) -> Caption:
        fitted = fit(text, self._scorer.count_tokens, self._scorer.context_length)
        return Caption(
            text=text,
            kind=CaptionKind.ORIGINAL,
            score=score.score,
            window_scores=score.window_scores[:LIST_ITEMS],
            fitted_text=None if fitted == text else fitted,
        )
