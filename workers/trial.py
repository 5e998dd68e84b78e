"""Tries captioners and scorer on single images, without the servers of the stream."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kaption.connections.errors import Fault
from kaption.schemas import Caption, CaptionKind
from kaption.workers.captioners.captioner import CaptionContext, Captioner, Spend
from kaption.workers.models.windows import TextScore, score_texts
from kaption.workers.policy.ingest import IngestPolicy
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.runtime.stage import Later
from kaption.workers.stages.select.names import names_in
from kaption.workers.stages.select.ranking import rank

if TYPE_CHECKING:
    from PIL import Image

    from kaption.workers.checks.check import Check
    from kaption.workers.fetch.fetcher import Fetcher
    from kaption.workers.models.scorer import Scorer


@dataclass(slots=True)
class TriedCaption:
    """A caption, what making it took, and what became of it."""

    caption: Caption
    captioner: str
    seconds: float
    """Its share of the captioner's time for this image."""
    tokens: int = 0
    """Tokens of the caption, as the scorer counts them."""
    place: int | None = None
    """The rank among the captions that select would keep, from 1; None: select would not."""
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Spent:
    """What one captioner took for one image."""

    captioner: str
    captions: int
    seconds: float
    input_tokens: int
    output_tokens: int
    cost: float
    """What the tokens and seconds cost, by the prices in the settings."""


@dataclass(frozen=True, slots=True)
class CaptionTrial:
    """Captioners, scorer and checks that are loaded, to be tried on single images."""

    policy: SelectPolicy
    captioners: Sequence[Captioner]
    scorer: Scorer
    checks: Sequence[Check]
    large: int = 0
    """How many of the captioners, at the end, are asked below the bar alone."""
    bar: float | None = None
    """Unset, it is the threshold."""

    @property
    def threshold(self) -> float:
        """The cosine that select demands at first. A scorer that recommends none accepts all."""
        given = self.policy.min_score
        known = self.scorer.recommended_score if given is None else given
        return -1.0 if known is None else known

    def asked(
        self, image: Image.Image, context: CaptionContext
    ) -> tuple[list[TriedCaption], list[Spent]]:
        """The alt text and all candidates, judged, those that select keeps first. Raises Fault."""
        found: list[TriedCaption] = []
        spent: list[Spent] = []
        if context.alt_text:
            original = Caption(text=context.alt_text, kind=CaptionKind.ORIGINAL)
            found.append(TriedCaption(original, "alt text", 0.0))
        for each in self.captioners:
            began = time.perf_counter()
            (captions,) = each.caption([image] if each.uses_images else [], [context])
            seconds = time.perf_counter() - began
            took = next(iter(getattr(each, "spent", ())), Spend())
            price = seconds * getattr(each, "second_price", 0.0)
            tokens = (took.input_tokens, took.output_tokens)
            spent.append(Spent(each.name, len(captions), seconds, *tokens, took.cost + price))
            found += [TriedCaption(one, each.name, seconds / len(captions)) for one in captions]
        self._judge(image, found)
        last = len(found) + 1
        return sorted(found, key=lambda it: (it.place or last, -(it.caption.score or 0.0))), spent

    def above_bar(self, found: Sequence[TriedCaption]) -> bool:
        """Whether the stage recaption would not ask the large captioners."""
        large = {each.name for each in self.captioners[len(self.captioners) - self.large :]}
        bar = self.threshold if self.bar is None else self.bar
        return any(
            each.caption.kind is not CaptionKind.ORIGINAL
            and each.captioner not in large
            and all(check.passed for check in each.caption.checks)
            and each.caption.score is not None
            and each.caption.score >= bar
            for each in found
        )

    def _judge(self, image: Image.Image, found: Sequence[TriedCaption]) -> None:
        """Score and check the captions, and rank them as the stages recaption and select do."""
        texted = [each for each in found if each.caption.text.strip()]
        scores: list[TextScore] = []
        if texted:
            vector = self.scorer.encode_images([self.scorer.preprocess(image)])
            texts = [each.caption.text for each in texted]
            scores = score_texts(self.scorer, texts, vector.repeat(len(texts), 0))
        for each, score in zip(texted, scores, strict=True):
            each.caption = each.caption.model_copy(
                update={
                    "score": score.score,
                    "window_scores": score.window_scores,
                    "checks": tuple(check.check(each.caption) for check in self.checks),
                }
            )
            each.tokens = self.scorer.count_tokens(each.caption.text)
        passed: list[Caption] = []
        said: set[str] = set()
        for each in found:
            each.why_not = self._refusal(each.caption, said)
            if each.caption.kind is not CaptionKind.ORIGINAL:
                said.add(each.caption.text.strip())
            passed += [] if each.why_not else [each.caption]
        alt_text = next((o.caption.text for o in found if o.captioner == "alt text"), "")
        kept = rank(passed, self.policy, self.threshold, names=names_in(alt_text))
        for each in found:
            place = next((at for at, it in enumerate(kept, 1) if it is each.caption), None)
            each.place = place
            if place is None:
                each.why_not = each.why_not or "others are better, or say the same"

    def _refusal(self, caption: Caption, said: set[str]) -> str:
        """Why select does not compare the caption with others; empty where it does."""
        text = caption.text.strip()
        if not text:
            return "blank"
        if text in said and caption.kind is not CaptionKind.ORIGINAL:
            return "repeats another caption"
        failed = [f"{it.name} ({it.detail})" for it in caption.checks if not it.passed]
        if failed:
            return f"fails {', '.join(failed)}"
        if caption.score is None or caption.score < self.threshold:
            return f"score below {self.threshold:.3f}"
        return ""


def opened(
    names: Sequence[str], policy: IngestPolicy
) -> Iterator[tuple[str, Image.Image | Exception]]:
    """Each file or URL with its image as ingest stores it, or with the error."""
    from PIL import Image

    from kaption.workers.decode.pool import DecodePool
    from kaption.workers.fetch.fetcher import Fetcher

    with DecodePool(policy.image, 1) as pool, closing(Fetcher(policy.fetch)) as fetcher:
        for name in names:
            try:
                decoded = pool.decode(_bytes(name, fetcher, policy.fetch.max_bytes))
            except (OSError, Fault, ValueError) as error:
                yield name, error
            else:
                yield name, Image.open(io.BytesIO(decoded.jpeg)).convert("RGB")


def _bytes(name: str, fetcher: Fetcher, most: int) -> bytes:
    """Raises OSError, ValueError, and Reject where a URL gives no image."""
    if "://" not in name:
        path = Path(name)
        if not path.is_file():
            path.stat()
            raise ValueError("this is not a file")
        if path.stat().st_size > most:
            raise ValueError(f"more than {most} bytes (ingest.fetch.max_bytes)")
        return path.read_bytes()
    while True:
        try:
            return fetcher.fetch(name).data
        except Later as error:  # the fetcher bounds the number of its tries
            time.sleep(error.after_s)
