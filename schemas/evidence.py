"""Evidence about an image besides its alt text: tags, OCR, objects and opt-out signals."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kaption.schemas.limits import LIST_ITEMS, Name, Text
from kaption.schemas.record import Record

Confidence = Annotated[float, Field(ge=0, le=1)]
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
    confidence: Confidence | None = None


class OcrText(Record):
    """A line of text that OCR read in the image."""

    text: Text
    confidence: Confidence | None = None
    box: Box | None = None


class DetectedObject(Record):
    """One object in the image, with its attributes, such as colour or material."""

    label: Name
    confidence: Confidence | None = None
    box: Box | None = None
    attributes: Annotated[tuple[Name, ...], Field(max_length=LIST_ITEMS)] = ()


class OptOutSignal(Record):
    """A signal on the page or in the response that forbids use for training.

    A signal that addresses only another crawler does not count: do not publish it.
    """

    kind: Name
    """The mechanism, for example ``robots_meta``, ``x_robots_tag`` or ``tdm_reservation``."""
    value: Text = ""
    """The text of the signal as it was found."""
