"""The interface of a captioner, and what it is told about an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

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
    stored: bytes | None = field(default=None, repr=False, compare=False)
    """The file that the image was read from, for captioners that send it on."""


class Spend(NamedTuple):
    """What the captions of one image took."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    """The price of these tokens, in the currency of the settings."""


class Captioner(Protocol):
    """Makes candidate captions. Making the captioner loads its model, and raises Fatal with what to
    do where that fails.

    One that must resize or cut images may have `prepare(image)`, which threads call at once.
    `caption` then gets what it returned in place of an image, or an image where memory is short.
    `nbytes` of what it returned is counted, where it is there.

    One that counts tokens may have `spent`: for each image of the latest call a `Spend`. One whose
    time costs something may have `second_price`. Both go into provenance, metrics and the budget.
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

        `images` are RGB, or prepared; the n-th belongs to the n-th context. `images` is empty where
        `uses_images` is False. Called by one thread. Raises Retry where a server is down, and
        OutOfMemory.
        """
