"""The interface of a check, and what checks do to texts before they are used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from kaption.schemas import Caption, CaptionedPair, CaptionKind, CheckResult, OcrText
from kaption.schemas.limits import TEXT_CHARS
from kaption.workers.runtime.stage import Reject

GENERATED = frozenset({CaptionKind.VLM, CaptionKind.FUSED})
"""Captions of models. Some checks refuse these alone."""
T = TypeVar("T", Caption, OcrText)


class Check(Protocol):
    """Judges the text of a caption. One that hides something in texts is a `Mask` as well."""

    name: str
    """The name in `CheckResult` and in the detail of a rejection. No two checks may share one."""

    def check(self, caption: Caption) -> CheckResult:
        """Judge one caption, alt texts included. Called by many threads at once; raises nothing.

        `detail` says why a caption fails, and is empty for one that passes.
        """


@runtime_checkable
class PairCheck(Check, Protocol):
    """A check that looks at the caption's pair as well, where that is known."""

    def check_pair(self, caption: Caption, pair: CaptionedPair) -> CheckResult:
        """Judge a caption of this pair. `kaption caption` has no pair and calls `check`."""


@runtime_checkable
class LossCheck(Check, Protocol):
    """A check by a model's loss for a text. The stage select reads the texts of a batch at once."""

    revision: str
    """The revision of the model. Losses of different revisions are never compared."""

    def losses(self, texts: Sequence[str]) -> list[float]:
        """The loss of each text. Called by one thread. Raises OutOfMemory."""

    def judged(self, caption: Caption, loss: float, most: float | None) -> CheckResult:
        """The result for a caption with this loss; `most` is what the stage measured, or None."""

    def try_out(self) -> None:
        """Raises any error if the model is broken."""


@runtime_checkable
class Mask(Protocol):
    """Hides something in texts, such as personal data.

    Ingest masks alt texts and the text in images that a crawler brings; recaption the text that it
    reads in images, and what captioners wrote.
    """

    name: str
    """The name in `masked` of the texts that it changed."""

    def mask(self, text: str) -> str | None:
        """The text without it; None to leave the text out. Called by many threads at once.

        Raises Reject (personal_data) to refuse the pair; of captions that a model wrote, only the
        caption.
        """


class Masked(NamedTuple):
    """A text after all masks."""

    text: str
    by: tuple[str, ...] = ()
    """The masks that changed it."""


class Masks:
    """Masks in their order. Any thread may call it."""

    def __init__(self, parts: Iterable[object] = ()) -> None:
        """Uses the parts that are masks, and no others. Some checks are masks."""
        self._masks = [each for each in parts if isinstance(each, Mask)]

    def text(self, text: str) -> Masked:
        """The text as every mask left it; empty where one left it out. Raises Reject."""
        changed = []
        for each in self._masks:
            masked = each.mask(text) if text else text
            if masked != text:
                changed.append(each.name)
                text = (masked or "")[:TEXT_CHARS]
        return Masked(text, tuple(changed))

    def each(self, texts: Iterable[T], *, pass_over: bool = False) -> tuple[T, ...]:
        """Captions, or lines of text in an image, masked, without those left out.

        Raises Reject; with `pass_over`, what a mask rejects is left out too.
        """
        kept: list[T] = []
        for each in texts:
            try:
                text, by = self.text(each.text)
            except Reject:
                if not pass_over:
                    raise
                continue
            if text:
                kept.append(_with(each, text, by) if by else each)
        return tuple(kept)


def _with(line: T, text: str, by: tuple[str, ...]) -> T:
    return line.model_copy(update={"text": text, "masked": (*line.masked, *by)})


NO_MASKS = Masks()
