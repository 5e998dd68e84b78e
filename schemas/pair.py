"""The pair, stage by stage: RawPair -> IngestedPair -> ScoredPair -> CaptionedPair -> CleanPair."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, Field, field_validator, model_validator

from kaption.schemas.caption import Caption
from kaption.schemas.evidence import DetectedObject, OcrText, OptOutSignal, Tag
from kaption.schemas.image import ImageRef, ImageSource
from kaption.schemas.limits import (
    CAPTIONS,
    EXTRA_BYTES,
    EXTRA_DEPTH,
    EXTRA_KEYS,
    LIST_ITEMS,
    LanguageTag,
    Name,
    Text,
    Url,
)
from kaption.schemas.plain_json import plain
from kaption.schemas.provenance import Audit, DedupInfo, Provenance
from kaption.schemas.record import Versioned

IMAGE_URL = "image_url"
"""In `extra`: the address of an image that came with its bytes."""


class Pair(Versioned):
    """What every form of a pair carries from the crawler to the training team."""

    pair_id: Name
    """Stable across re-crawls; the Kafka key. Derived from source, page and image."""
    text: Text
    """The alt text as it was found."""
    page_url: Url | None = None
    source: Name | None = None
    """The crawl or dataset it comes from."""
    fetched_at: AwareDatetime | None = None
    language: LanguageTag | None = None
    tags: Annotated[tuple[Tag, ...], Field(max_length=LIST_ITEMS)] = ()
    ocr: Annotated[tuple[OcrText, ...], Field(max_length=LIST_ITEMS)] = ()
    objects: Annotated[tuple[DetectedObject, ...], Field(max_length=LIST_ITEMS)] = ()
    licence: Name | None = None
    """SPDX identifier, URL or the words found."""
    opt_out: Annotated[tuple[OptOutSignal, ...], Field(max_length=LIST_ITEMS)] = ()
    extra: Annotated[
        dict[str, Any],
        Field(
            max_length=EXTRA_KEYS,
            description="Fields the contract does not know, kept as they came, also those given "
            f"beside the known ones. At most {EXTRA_BYTES} bytes of JSON and {EXTRA_DEPTH} levels. "
            f"`{IMAGE_URL}` is the address of an image that came with its bytes.",
        ),
        AfterValidator(plain(EXTRA_DEPTH)),
    ] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _keep_unknown_fields(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        fields = cls.__pydantic_fields__
        unknown = [name for name in data if name not in fields]
        if not unknown:
            return data
        known = {name: value for name, value in data.items() if name in fields}
        extra = known.get("extra", {})
        if isinstance(extra, dict):
            twice = [name for name in unknown if name in extra and extra[name] != data[name]]
            if twice:
                raise ValueError(f"given both in extra and beside it: {', '.join(twice)[:300]}")
            known["extra"] = {**extra, **{name: data[name] for name in unknown}}
        return known

    @field_validator("extra")
    @classmethod
    def _bounded(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if extra:
            size = len(json.dumps(extra, ensure_ascii=False, separators=(",", ":")).encode())
            if size > EXTRA_BYTES:
                raise ValueError(f"extra holds {size} bytes of JSON, the limit is {EXTRA_BYTES}")
        return extra


class RawPair(Pair):
    """What a crawler publishes to ``pairs.raw``."""

    image: ImageSource


class IngestedPair(Pair):
    """A pair whose image is decoded, deduplicated and stored, and whose alt text is clean."""

    image: ImageRef
    clean_text: Text
    """The alt text after repair and cleaning; empty where nothing usable was left."""
    text_notes: Annotated[tuple[Name, ...], Field(max_length=LIST_ITEMS)] = ()
    """What cleaning did or found, for example ``html``, ``slang``, ``file_name``, ``repeated``."""
    detected_language: LanguageTag | None = None
    language_confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    dedup: DedupInfo
    provenance: Provenance = Provenance()


class Route(StrEnum):
    """Why a scored pair went where it went."""

    ALT_TEXT_GOOD = "alt_text_good"
    NEEDS_CAPTION = "needs_caption"


class ScoredPair(IngestedPair):
    """A pair whose alt text has an alignment score."""

    original: Caption | None
    """The cleaned alt text, scored; none where it was empty."""
    route: Route


class CaptionedPair(ScoredPair):
    """A pair with candidate captions; none where the alt text was already good."""

    candidates: Annotated[tuple[Caption, ...], Field(max_length=CAPTIONS)] = ()


class CleanPair(Pair):
    """An aligned training pair: what ``pairs.clean`` and the shards hold."""

    image: ImageRef
    captions: Annotated[tuple[Caption, ...], Field(min_length=1, max_length=CAPTIONS)]
    """Best first."""
    clean_text: Text
    original_score: float | None = None
    """Score of the cleaned alt text before selection, on the same scorer as the captions."""
    detected_language: LanguageTag | None = None
    dedup: DedupInfo
    provenance: Provenance = Provenance()
    audit: Audit = Audit()
    version: Annotated[int, Field(ge=1)] = 1
    """A later version of the same pair_id replaces an earlier one."""


def image_url(pair: RawPair | IngestedPair | CleanPair) -> str | None:
    """The address of the pair's image: where it was fetched, or what came with its bytes."""
    if pair.image.url is not None:
        return pair.image.url
    told = pair.extra.get(IMAGE_URL)
    return told if isinstance(told, str) else None
