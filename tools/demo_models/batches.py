"""Turns chunks of rendered images into batches of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kaption.workers.demo.scenes import COLORS, SHAPES, SIZES, TEXTURES, Scene
from tools.demo_models.clip_losses import IGNORED, NONE
from tools.demo_models.photographs import Chunk
from tools.demo_models.wording import ALL_FACTS


@dataclass(frozen=True, slots=True)
class SceneBatch:
    """`pixels` (B, 3, SIDE, SIDE) from -1 to 1, `labels` (B, P, 4) and `offsets` (B, P, 3)."""

    pixels: Tensor
    labels: Tensor
    offsets: Tensor
    scenes: list[Scene]


def batches(chunks: Iterable[Chunk], size: int, rng: np.random.Generator) -> Iterator[SceneBatch]:
    """Batches of `size` images. Each chunk in turn is shuffled; its incomplete batch is dropped."""
    for chunk in chunks:
        labels = patch_labels(chunk)
        order = rng.permutation(len(chunk.scenes))
        for start in range(0, len(order) - size + 1, size):
            at = order[start : start + size]
            yield SceneBatch(
                to_pixels(chunk.images[at]),
                labels[at],
                torch.from_numpy(chunk.offsets[at]),
                [chunk.scenes[i] for i in at],
            )


def to_pixels(images: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
    """(B, H, W, 3) bytes to (B, 3, H, W) from -1 to 1, as PREPROCESS_CFG says."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def patch_labels(chunk: Chunk) -> Tensor:
    """(n, P, 4): shape (or NONE), colour, texture and size of the object under each patch."""
    labels = np.full((*chunk.covered.shape, 4), IGNORED, np.int64)
    labels[..., 0] = NONE
    for scene, covered, row in zip(chunk.scenes, chunk.covered, labels, strict=True):
        for index, obj in enumerate(scene.objects):
            row[covered == index] = (
                SHAPES.index(obj.shape),
                COLORS.index(obj.color),
                TEXTURES.index(obj.texture),
                SIZES.index(obj.size),
            )
    return torch.from_numpy(labels)


def multi_hot(rows: list[set[int]]) -> Tensor:
    """The sets of indices as rows of 0 and 1, shape (n, ALL_FACTS)."""
    table = torch.zeros(len(rows), ALL_FACTS)
    for row, found in zip(table, rows, strict=True):
        row[list(found)] = 1.0
    return table
