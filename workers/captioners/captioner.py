"""The interface of a captioner, and what it is told about an image."""

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
    """Makes candidate captions. Making the captioner loads its model, and raises Fatal with what to
    do where that fails.
    """

    name: str
    """For people, such as ``rules``."""
    model: str
    """Stored with every caption."""
    revision: str
    """Stored with every caption; another one wherever the answers change."""
    cache_id: str | None
    """Digest of all that an answer depends on besides image and context. Answers are cached under
    it; None: they are not cached."""
    uses_images: bool
    """False: `caption` gets no images, and none is fetched for it."""
    uses_context: bool
    """False: a cached answer is used for the same image with any context."""

    def caption(
        self, images: Sequence[Image.Image], contexts: Sequence[CaptionContext]
    ) -> list[tuple[Caption, ...]]:
        """Return the candidates for each image, without scores; an empty tuple where there is none.

        `images` are RGB; the n-th belongs to the n-th context. `images` is empty where
        `uses_images` is False. Called by one thread. Raises Retry where a server is down, and
        OutOfMemory.
        """
