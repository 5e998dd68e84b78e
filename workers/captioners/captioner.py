"""What recaption asks of a captioner. A captioner is found by its module name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kaption.schemas import Caption, DetectedObject, OcrText, Tag

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True)
class CaptionContext:
    """What is known about an image besides its pixels."""

    alt_text: str
    language: str | None = None
    tags: tuple[Tag, ...] = ()
    ocr: tuple[OcrText, ...] = ()
    objects: tuple[DetectedObject, ...] = ()


class Captioner(Protocol):
    """Each module in this package has ``build(policy: RecaptionPolicy) -> Captioner``, which loads
    the model and raises Fatal with what to do when it cannot.
    """

    name: str
    model: str
    revision: str
    cache_id: str | None
    """Digest of what the answer depends on besides image and context; None: do not cache."""
    uses_images: bool
    uses_context: bool

    def caption(
        self, images: Sequence[Image.Image], contexts: Sequence[CaptionContext]
    ) -> list[tuple[Caption, ...]]:
        """Candidates per image, unscored; an empty tuple where there is nothing to say.

        `images` is parallel to `contexts`, or empty where `uses_images` is False. Called by one
        thread. Raises Retry (server down), OutOfMemory.
        """
