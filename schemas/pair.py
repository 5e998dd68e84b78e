"""The pair, stage by stage: RawPair -> IngestedPair -> ScoredPair -> CaptionedPair -> CleanPair."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

from kaption.schemas.caption import Caption, TextSource
from kaption.schemas.evidence import DetectedObject, OcrText, OptOutSignal, Tag
from kaption.schemas.image import ImageRef, ImageSource
from kaption.schemas.limits import (
    CAPTIONS,
    EXTRA_BYTES,
    EXTRA_DEPTH,
    EXTRA_KEYS,
    LIST_ITEMS,
    Count,
    LanguageTag,
    Name,
    Text,
    Url,
)
from kaption.schemas.odd_values import archive_time, within_utc
from kaption.schemas.plain_json import plain
from kaption.schemas.provenance import Audit, DedupInfo, Provenance
from kaption.schemas.record import Versioned

IMAGE_URL = "image_url"
"""Key in `extra` for the URL of an image that was published as bytes."""
CRAWLED_URL = "crawled_url"
"""Key in `extra` for the URL on the page, if it led to such an image by redirects."""


class Pair(Versioned):
    """The fields that a pair carries through every stage, from the crawler to training."""

    pair_id: Name
    """The Kafka key. The same pair has the same id in every crawl: derive it from source, page and
    image."""
    text: Text
    """The alt text as it was found on the page."""
    page_url: Url | None = None
    """The page that shows the image."""
    source: Name | None = None
    """The crawl or dataset that the pair comes from."""
    fetched_at: (
        Annotated[AwareDatetime, BeforeValidator(archive_time), AfterValidator(within_utc)] | None
    ) = None
    """When the crawler found the pair."""
    language: LanguageTag | None = None
    tags: Annotated[tuple[Tag, ...], Field(max_length=LIST_ITEMS)] = ()
    ocr: Annotated[tuple[OcrText, ...], Field(max_length=LIST_ITEMS)] = ()
    objects: Annotated[tuple[DetectedObject, ...], Field(max_length=LIST_ITEMS)] = ()
    licence: Name | None = None
    """SPDX identifier, URL, or the words on the page."""
    licence_id: Name | None = None
    """`licence` as ingest understands it: an SPDX identifier, or ``unknown``, ``public-domain``,
    ``all-rights-reserved``, ``LicenseRef-...``, or an identifier without its version where none is
    given, such as ``CC-BY``. Absent where no licence is given."""
    opt_out: Annotated[tuple[OptOutSignal, ...], Field(max_length=LIST_ITEMS)] = ()
    extra: Annotated[
        dict[str, Any],
        Field(
            max_length=EXTRA_KEYS,
            description="Fields of your own. Unknown fields of the record are moved here, "
            f"unchanged. At most {EXTRA_BYTES} bytes of JSON and {EXTRA_DEPTH} levels of nesting. "
            f"`{IMAGE_URL}` is the URL of an image that was published as bytes, and "
            f"`{CRAWLED_URL}` the URL that redirected to it.",
        ),
        AfterValidator(plain(EXTRA_DEPTH)),
    ] = Field(default_factory=dict)

    masked: Annotated[tuple[Name, ...], Field(max_length=LIST_ITEMS)] = ()
    """Kinds of personal data that a mark in `text` and `clean_text` stands for, such as ``email``:
    [e-mail]. Captions and lines of `ocr` have their own."""
    not_understood: Annotated[tuple[Name, ...], Field(max_length=LIST_ITEMS)] = ()
    """Fields whose given value did not fit. It is in `extra` as it was given, if it fits there; a
    text was cut to its limit, and what is no character became U+FFFD."""

    @model_validator(mode="before")
    @classmethod
    def _keep_unknown_fields(cls, data: Any) -> Any:
        fields = cls.__pydantic_fields__
        if not isinstance(data, dict) or data.keys() <= fields.keys():
            return data
        unknown = [name for name in data if name not in fields]
        known = {name: value for name, value in data.items() if name in fields}
        extra = known.get("extra", {})
        if isinstance(extra, dict):
            twice = [name for name in unknown if name in extra and extra[name] != data[name]]
            if twice:
                raise ValueError(
                    "given twice with different values, as a field and in extra: "
                    f"{', '.join(twice)[:300]}"
                )
            known["extra"] = {**extra, **{name: data[name] for name in unknown}}
        return known

    @field_validator("extra")
    @classmethod
    def _bounded(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if extra:
            size = len(json.dumps(extra, ensure_ascii=False, separators=(",", ":")).encode())
            if size > EXTRA_BYTES:
                raise ValueError(f"extra has {size} bytes of JSON; the limit is {EXTRA_BYTES}")
        return extra


class RawPair(Pair):
    """What a crawler publishes to ``pairs.raw``."""

    image: ImageSource


class IngestedPair(Pair):
    """A pair whose image is decoded, deduplicated and stored, and whose alt text is cleaned."""

    image: ImageRef
    clean_text: Text
    """The alt text after repair and cleaning. Empty where no usable text was left."""
    text_notes: Annotated[tuple[Name, ...], Field(max_length=LIST_ITEMS)] = ()
    """What cleaning did or found, for example ``html``, ``slang``, ``file_name``, ``repeated``."""
    detected_language: LanguageTag | None = None
    """Language of `clean_text` by detection. Absent where the detector was not sure enough."""
    language_confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    dedup: DedupInfo
    brought_by: TextSource | None = None
    """The copy of the image, found later, whose alt text lets the pair come through the stages once
    more. Absent where the pair comes for itself."""
    provenance: Provenance = Provenance()


class Route(StrEnum):
    """Where a scored pair goes next."""

    ALT_TEXT_GOOD = "alt_text_good"
    """To select: the alt text is good enough."""
    NEEDS_CAPTION = "needs_caption"
    """To recaption: the alt text is missing or too weak."""


class ScoredPair(IngestedPair):
    """A pair whose alt text was scored against its image."""

    original: Caption | None
    """The cleaned alt text with its score. Null where the alt text is empty."""
    other_texts: Annotated[tuple[Caption, ...], Field(max_length=CAPTIONS)] = ()
    """Alt texts of refused copies of the image, with their scores and sources."""
    route: Route


class CaptionedPair(ScoredPair):
    """A pair with candidate captions. It has none where the alt text was already good."""

    candidates: Annotated[tuple[Caption, ...], Field(max_length=CAPTIONS)] = ()


class CleanPair(Pair):
    """An aligned training pair. ``pairs.clean`` and the shards hold these."""

    image: ImageRef
    captions: Annotated[tuple[Caption, ...], Field(min_length=1, max_length=CAPTIONS)]
    """Best first."""
    clean_text: Text
    original_score: float | None = None
    """Score of the cleaned alt text, by the scorer of the captions, whether it was kept or not."""
    original_specificity: float | None = None
    """Specificity of the cleaned alt text, whether it was kept or not."""
    detected_language: LanguageTag | None = None
    """Language of `clean_text` by detection. Absent where the detector was not sure enough."""
    dedup: DedupInfo
    provenance: Provenance = Provenance()
    audit: Audit = Audit()
    version: Count = 1
    """A later message with the same pair_id replaces the earlier one."""


def decision_key(pair: CleanPair) -> str:
    """The key in ``pairs.audited`` of what one person decided about a pair.

    The person's name goes first, and it has no blank, so different decisions have different keys.
    """
    return f"{pair.audit.by} {pair.pair_id}"


def image_url(pair: RawPair | IngestedPair | CleanPair) -> str | None:
    """The image's URL: the one it was fetched from, else `extra["image_url"]`, else None."""
    return _told(pair, IMAGE_URL) if pair.image.url is None else pair.image.url


def crawled_url(pair: RawPair | IngestedPair | CleanPair) -> str | None:
    """The URL that led to the image's URL: of the image, else `extra["crawled_url"]`, else None."""
    given = pair.image.crawled_url if isinstance(pair.image, ImageRef) else None
    return _told(pair, CRAWLED_URL) if given is None and pair.image.url is None else given


def _told(pair: RawPair | IngestedPair | CleanPair, name: str) -> str | None:
    told = pair.extra.get(name)
    return told if isinstance(told, str) else None
