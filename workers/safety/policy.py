"""The settings of what must not come into a data set."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kaption.workers.policy import Fraction, Policy

Personal = Literal["off", "mask", "refuse"]


class PersonalDataPolicy(Policy):
    """Personal data in alt texts, in captions and in the text in images.

    ``mask`` puts a mark such as [e-mail] in its place. ``refuse`` rejects the pair; of captions
    that a model wrote, only the caption. docs/safety.md has the recall of each kind.
    """

    email: Personal = "mask"
    """E-mail addresses."""
    telephone: Personal = "mask"
    """Telephone and fax numbers."""
    card: Personal = "mask"
    """Numbers of payment cards, by network and check digit."""
    iban: Personal = "mask"
    """International bank account numbers, by their check digits."""
    national_id: Personal = "mask"
    """Numbers of identity cards, tax payers and the insured of 40 countries, by check digits."""
    address: Personal = "off"
    """Street addresses with a postal code of Great Britain, the USA and Canada. Off, because most
    addresses in alt texts are those of shops and sights."""


class BlockListPolicy(Policy):
    """Known images that ingest refuses, in files that may be replaced while workers run."""

    exact: tuple[str, ...] = ()
    """Files with a sha256, sha1 or md5 of an image's file at the beginning of each line. Replace
    them by renaming a new file: workers read it again after some seconds."""
    perceptual: tuple[str, ...] = ()
    """Files with a PDQ hash of 64 hexadecimal digits at the beginning of each line. It needs the
    extra ``safety``."""
    distance: Annotated[int, Field(ge=0, le=31)] = 31
    """Bits by which an image's PDQ hash and a listed one may differ. PDQ's authors take 31. Lower
    it to refuse less."""


class FacePolicy(Policy):
    """Faces in images. It needs the extra ``safety``, and about 0.3 seconds of a core for each."""

    action: Literal["off", "count", "blur", "refuse"] = "off"
    """``count`` writes the faces' boxes into the pair, ``blur`` blurs them too, before the image is
    stored, and ``refuse`` rejects images with a face."""
    least_confidence: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Confidence from which the detector's find is a face. Lower it to miss fewer faces."""


class NsfwPolicy(Policy):
    """Pornographic images, by a small classifier. It needs the extra ``safety``."""

    action: Literal["off", "score"] = "off"
    """``score`` writes how likely an image is pornographic into the pair."""
    most: Fraction | None = None
    """Score above which an image is refused. Yahoo calls more than 0.8 unsafe and less than 0.2
    safe. Unset, none is refused."""

    @model_validator(mode="after")
    def _scores_what_it_refuses(self) -> Self:
        if self.most is not None and self.action == "off":
            raise ValueError("most goes with action = score: set it too")
        return self


class DocumentPolicy(Policy):
    """Identity documents, driving licences and CVs, by the text in the image and its layout."""

    action: Literal["off", "score"] = "off"
    """``score`` reads the text of each image before it is stored, and writes how likely it is such
    a document into the pair. It needs the extra ``ocr``, and about half a second of a core."""
    most: Fraction | None = None
    """Score above which an image is refused; 0.5 is a good one. It also holds for the ``ocr`` of
    crawlers, and for what recaption.ocr reads. Unset, none is refused."""

    @model_validator(mode="after")
    def _scores_what_it_refuses(self) -> Self:
        if self.most is not None and self.action == "off":
            raise ValueError("most goes with action = score: set it too")
        return self


class SafetyPolicy(Policy):
    """What must not come into a data set."""

    licences: tuple[str, ...] = ()
    """Accepted licences, as SPDX identifiers such as CC-BY-4.0; CC-BY accepts every version.
    ``public-domain``, ``all-rights-reserved`` and ``unknown`` are others; unknown is also what has
    no licence. Empty accepts all."""

    personal_data: PersonalDataPolicy = PersonalDataPolicy()
    block_lists: BlockListPolicy = BlockListPolicy()
    faces: FacePolicy = FacePolicy()
    nsfw: NsfwPolicy = NsfwPolicy()
    documents: DocumentPolicy = DocumentPolicy()
