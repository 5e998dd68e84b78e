"""What a crawler or an annotator already knows about an image, besides its text."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kaption.schemas.limits import LIST_ITEMS, Name, Text
from kaption.schemas.record import Record

Confidence = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Box(Record):
    """A rectangle in fractions of the image's width and height, from the top left."""

    left: Fraction
    top: Fraction
    right: Fraction
    bottom: Fraction


class Tag(Record):
    """A label of the whole image."""

    name: Name
    confidence: Confidence | None = None


class OcrText(Record):
    """A line of text seen in the image."""

    text: Text
    confidence: Confidence | None = None
    box: Box | None = None


class DetectedObject(Record):
    """One thing in the image, with its attributes (colour, material ...)."""

    label: Name
    confidence: Confidence | None = None
    box: Box | None = None
    attributes: Annotated[tuple[Name, ...], Field(max_length=LIST_ITEMS)] = ()


class OptOutSignal(Record):
    """A wish not to be used for training, as it was found; what is said to another crawler is none.

    `kind` names the mechanism, for example ``robots_meta``, ``x_robots_tag``, ``tdm_reservation``;
    `value` is the text found.
    """

    kind: Name
    value: Text = ""
