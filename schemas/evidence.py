"""Evidence about an image besides its alt text: tags, OCR, objects and opt-out signals."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kaption.schemas.limits import LIST_ITEMS, Name, Text, Url
from kaption.schemas.record import Record

Fraction = Annotated[float, Field(ge=0, le=1)]


class Box(Record):
    """A rectangle. Coordinates are fractions of the image's width and height from the top left."""

    left: Fraction
    top: Fraction
    right: Fraction
    bottom: Fraction


class Tag(Record):
    """A label for the whole image."""

    name: Name
    confidence: Fraction | None = None


class OcrText(Record):
    """A line of text that OCR read in the image."""

    text: Text
    confidence: Fraction | None = None
    box: Box | None = None
    source: Name | None = None
    """What read it, such as ``rapidocr``; absent where the crawler does not say."""
    masked: Annotated[tuple[Name, ...], Field(max_length=LIST_ITEMS)] = ()
    """Kinds of personal data that a mark stands for, such as ``email``."""


class DetectedObject(Record):
    """One object in the image, with its attributes, such as colour or material."""

    label: Name
    confidence: Fraction | None = None
    box: Box | None = None
    attributes: Annotated[tuple[Name, ...], Field(max_length=LIST_ITEMS)] = ()


class Face(Record):
    """A face in an image. The box lies around it, in fractions of the stored image."""

    box: Box
    confidence: Fraction


class OptOutSignal(Record):
    """A signal of a page, a response, a site or an image file that forbids use for training.

    A signal that addresses only another crawler does not count: do not publish it.
    """

    kind: Name
    """The mechanism, for example ``robots_meta``, ``x_robots_tag`` or ``tdm_reservation``."""
    value: Text = ""
    """The text of the signal as it was found."""
    source: Url | None = None
    """The address whose answer says it, or ``image file``. Absent where the page says it."""
