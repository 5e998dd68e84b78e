"""Training images: scenes as a crawl delivers them, with the places of their objects."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageEnhance

from kaption.workers.demo.painting import render
from kaption.workers.demo.scenes import Scene, random_scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 64  # pixels that a model sees
PATCH = 8
GRID = SIDE // PATCH
PAD = 128  # grey of the letterbox, as in the models' preprocessing
NO_OBJECT = -1


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rendered images and their scenes, in the same order."""

    images: NDArray[np.uint8]
    """(n, SIDE, SIDE, 3)."""
    covered: NDArray[np.int8]
    """(n, GRID * GRID): the index of the object that covers the patch's centre, or NO_OBJECT."""
    offsets: NDArray[np.float32]
    """(n, GRID * GRID, 3) in fractions of SIDE: x and y from that object's centre to the patch's,
    and the object's radius. nan where there is no object."""
    scenes: list[Scene]


def photograph(scene: Scene, rng: random.Random) -> tuple[Image.Image, tuple[float, float, float]]:
    """An image of a scene as a crawl delivers it: any size, slightly cropped, JPEG, other light.

    Returns (image, (scale, left, top)). The point (x, y) of the scene, in fractions of its longest
    side, lies at pixel (x * scale - left, y * scale - top).
    """
    scale = rng.choice((SIDE, 80, 96, 128, 160, 224))
    image = render(scene, scale, rng)
    left = top = 0
    if rng.random() < 0.4:
        cuts = [rng.uniform(0, 0.06) for _ in range(4)]
        width, height = image.size
        left, top = round(cuts[0] * width), round(cuts[1] * height)
        image = image.crop(
            (left, top, width - round(cuts[2] * width), height - round(cuts[3] * height))
        )
    if rng.random() < 0.25:
        image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.85, 1.15))
    if rng.random() < 0.6:
        jpeg = io.BytesIO()
        image.save(jpeg, "JPEG", quality=rng.randint(40, 95))
        image = Image.open(jpeg)
        image.load()
    return image, (float(scale), float(left), float(top))


def frame(
    image: Image.Image, *, squash: bool = False
) -> tuple[Image.Image, tuple[float, float, int, int]]:
    """The image in a square of SIDE, letterboxed on grey or squashed.

    Returns (image, (scale of x, scale of y, left, top)).
    """
    scale = SIDE / max(image.size)
    width, height = (SIDE if squash else max(1, round(side * scale)) for side in image.size)
    boxed = Image.new("RGB", (SIDE, SIDE), (PAD, PAD, PAD))
    left, top = (SIDE - width) // 2, (SIDE - height) // 2
    boxed.paste(image.resize((width, height), Image.Resampling.BICUBIC), (left, top))
    return boxed, (width / image.width, height / image.height, left, top)


def render_chunk(seed: int, count: int, squashed: float = 0.0) -> Chunk:
    """`count` photographs of random scenes. Half are square, the others between 1:2 and 2:1.

    A fraction `squashed` of them is squashed to a square, the rest is letterboxed.
    """
    rng = random.Random(seed)  # noqa: S311 (training data, no secret)
    images = np.empty((count, SIDE, SIDE, 3), np.uint8)
    covered = np.full((count, GRID, GRID), NO_OBJECT, np.int8)
    offsets = np.full((count, GRID, GRID, 3), np.nan, np.float32)
    scenes = []
    middles = (np.arange(GRID) + 0.5) * PATCH
    for i in range(count):
        scene = random_scene(rng, 1.0 if rng.random() < 0.5 else 2.0 ** rng.uniform(-1, 1))
        image, (scale, left, top) = photograph(scene, rng)
        boxed, (scale_x, scale_y, pad_x, pad_y) = frame(image, squash=rng.random() < squashed)
        for index, obj in enumerate(scene.objects):
            x = middles[None, :] - (obj.x * scale - left) * scale_x - pad_x
            y = middles[:, None] - (obj.y * scale - top) * scale_y - pad_y
            radius = obj.radius * scale
            near = (x / scale_x) ** 2 + (y / scale_y) ** 2 <= radius**2
            covered[i][near] = index
            away = np.broadcast_arrays(x, y, np.float64(radius * max(scale_x, scale_y)))
            offsets[i][near] = np.stack(away, axis=-1)[near] / SIDE
        images[i] = np.asarray(boxed)
        scenes.append(scene)
    return Chunk(images, covered.reshape(count, -1), offsets.reshape(count, GRID * GRID, 3), scenes)


def stream(seed: int, chunks: int, count: int = 4096, squashed: float = 0.0) -> Iterator[Chunk]:
    """An endless stream of chunks, which another process renders during the training.

    `chunks` of them are rendered, kept in memory (50 MB each) and then repeated. Each new chunk
    comes twice in a row, because training is about twice as fast as rendering.
    """
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    done = []
    try:
        for future in [pool.submit(render_chunk, seed + i, count, squashed) for i in range(chunks)]:
            done.append(future.result())
            yield done[-1]
            yield done[-1]
    finally:
        pool.shutdown(cancel_futures=True)  # a failed training must not wait for all chunks
    while True:
        yield from done
