"""Makes valid records for every stage, with a different image in each."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from kaption.objectstore.blobs import BlobStore
from kaption.schemas import Caption, CaptionKind, DedupInfo, ImageRef, ImageSource, Pair, Route
from kaption.schemas.topics import RAW
from kaption.testing.records import image_ref
from kaption.workers.demo.scenes import describe, random_scene
from kaption.workers.demo.site import Page
from kaption.workers.wiring import STAGES
from tools.demo_models.alter import alter

_SIDE = (512, 384)
_RECAPTION_SHARES = 20


def records(blobs: BlobStore, pages: dict[str, Page], site: str) -> Callable[[str, int], Pair]:
    """A function that makes the input record of a stage from a number.

    The same number gives the same record. The images are coloured noise, so that no two of them are
    near-duplicates. For ingest half of the images are inline and half are put into `pages`, which
    the `Site` at `site` serves; for other stages they are in the blob store. Recaption is slow, so
    twenty of its records share an image, and its cache answers all but the first.
    """

    @cache
    def stored(number: int) -> ImageRef:
        blob = blobs.put(_image(number), "image/jpeg")
        width, height = _SIDE
        return image_ref(
            blob, width=width, height=height, original_width=width, original_height=height
        )

    def record(stage: str, number: int) -> Pair:
        rng = random.Random(number)
        scene = random_scene(rng)
        texts = [describe(scene), *(describe(alter(scene, rng)) for _ in range(3))]
        fields: dict[str, Any] = {"pair_id": f"pair-{number}", "text": texts[0]}
        (topic,) = STAGES[stage]
        if topic is not RAW:
            captions = [Caption(text=text, kind=CaptionKind.VLM, model="made") for text in texts]
            fields |= {
                "image": stored(number // _RECAPTION_SHARES if stage == "recaption" else number),
                "clean_text": texts[0],
                "dedup": DedupInfo(owner=f"pairs.raw/0/{number}"),
                "original": captions[0].model_copy(update={"kind": CaptionKind.ORIGINAL}),
                "route": Route.NEEDS_CAPTION,
                "candidates": tuple(captions[1:]),
                "captions": tuple(captions[1:3]),
            }
        elif number % 2:
            fields["image"] = ImageSource(inline=_image(number))
        else:
            pages[f"/{number}"] = Page(_image(number), "image/jpeg")
            fields["image"] = ImageSource(url=f"{site}/{number}")
        known = {name: value for name, value in fields.items() if name in topic.record.model_fields}
        pair = topic.record.model_validate(known)
        assert isinstance(pair, Pair)
        return pair

    return record


def _image(number: int) -> bytes:
    """A different JPEG for each number."""
    noise = np.random.default_rng(number).integers(0, 256, (12, 16, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize(_SIDE).save(file, "JPEG", quality=90)
    return file.getvalue()
