"""What the pairs are worth for training: one small CLIP, trained alike on three sets of pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip import ClipLoss, get_tokenizer
from open_clip.model import CLIP
from PIL import Image
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import normalize

from kaption.schemas.letterbox import Letterbox
from kaption.workers.demo.scenes import describe
from kaption.workers.models.open_clip import DEMO_FOLDER
from tools.demo_models.clip_config import MODEL_CFG, PREPROCESS_CFG
from tools.demo_models.measure import specimens
from tools.demo_models.train_clip import encode_text
from tools.evaluate.figures import Figure, mean, resampled
from tools.evaluate.held_out import Kept
from tools.evaluate.retrieval import ranks

SEEDS = (1, 2, 3)
HELD_OUT_SEED = 40_011
_SIDE, _WIDTH, _LAYERS = 32, 96, 3
_TOKENS = 48
"""Longer texts are cut: few are longer, and each would make its whole batch slower."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The same for every set of pairs. A set of fewer pairs is seen more often."""

    steps: int = 400
    batch: int = 64
    rate: float = 1e-3
    warm_up: int = 30
    held_out: int = 2000


Pairs = Sequence[tuple[Image.Image, str]]
_CHOICES = 100
"""Held-out images that a text searches among. With few, more texts find theirs: the same sample
then tells smaller differences apart."""


def measure(kept: Sequence[Kept], accepted: Sequence[bool], recipe: Recipe) -> list[Figure]:
    """Held-out Recall@1 among `_CHOICES` images after training on each set, mean over `SEEDS`.

    raw: every kept image with the alt text as it was found. Copies and broken images, which the
    stream drops, are in no set. filtered: the pairs whose alt text the scorer `accepted`. Kaption:
    every kept image with its best caption.
    """
    sets: dict[str, Pairs] = {
        "raw": [(one.image, one.pair.text) for one in kept],
        "filtered": [
            (one.image, one.pair.clean_text)
            for one, good in zip(kept, accepted, strict=True)
            if good
        ],
        "Kaption": [(one.image, one.caption) for one in kept],
    }
    held = specimens(recipe.held_out, worn=True, seed=HELD_OUT_SEED)
    probe = [(one.image, describe(one.scene)) for one in held]
    hits = {
        name: np.array([trained_hits(pairs, probe, recipe, seed) for seed in SEEDS], np.float64)
        for name, pairs in sets.items()
    }
    figures = []
    for name, found in hits.items():
        what = f"trained on {name} ({len(sets[name])} pairs)"
        figures.append(mean(f"{what}: held-out Recall@1", found.mean(0)))
        figures += [
            Figure(f"{what}: seed {seed}", float(row.mean()), None, None, len(row))
            for seed, row in zip(SEEDS, found, strict=True)
        ]
    ours = hits["Kaption"].mean(0)
    for name in ("raw", "filtered"):
        # The same texts and images for both, so that their difference is known better than each.
        what = f"Recall@1 of Kaption - Recall@1 of {name}"
        figures.append(mean(what, ours - hits[name].mean(0)))
    both = np.stack([ours, hits["raw"].mean(0)], axis=1)
    figures.append(resampled("Recall@1 of Kaption / Recall@1 of raw", _times, both))
    return figures


def _times(drawn: NDArray[np.float64]) -> float:
    """A draw in which raw has no hit counts as one with a single hit: a ratio needs one."""
    ours, raw = drawn.mean(0)
    return float(ours / max(raw, 1 / len(drawn)))


def trained_hits(pairs: Pairs, probe: Pairs, recipe: Recipe, seed: int) -> list[bool]:
    """Whether each held-out description finds its image, after training with this seed."""
    box = Letterbox.of({**PREPROCESS_CFG, "size": [_SIDE, _SIDE]})
    tokenize = get_tokenizer(f"local-dir:{DEMO_FOLDER}")
    torch.manual_seed(seed)
    model = CLIP(**_config())
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: (
            min(1.0, (step + 1) / recipe.warm_up)
            * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
        ),
    )  # fmt: skip
    pixels, tokens = _inputs(pairs, box, tokenize)
    order = np.random.default_rng(seed)
    size = min(recipe.batch, len(pairs))
    # The flash kernel's backward pass on CPU is several times slower.
    with sdpa_kernel(SDPBackend.MATH):
        for _ in range(recipe.steps):
            at = torch.from_numpy(order.choice(len(pairs), size, replace=False))
            with torch.autocast("cpu", torch.bfloat16):
                texts = encode_text(model, _short(tokens[at]))
                images = normalize(model.encode_image(pixels[at]).float(), dim=-1)
            loss = ClipLoss()(images, texts, model.logit_scale.exp())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(max=math.log(100))
    pixels, tokens = _inputs(probe, box, tokenize)
    model.eval()
    with torch.inference_mode():
        images = normalize(model.encode_image(pixels), dim=-1)
        texts = encode_text(model, _short(tokens))
    found = [
        ranks(texts[at : at + _CHOICES].numpy(), images[at : at + _CHOICES].numpy()) == 0
        for at in range(0, len(probe), _CHOICES)
    ]
    return list(np.concatenate(found))


def _config() -> dict[str, object]:
    tower = {"width": _WIDTH, "layers": _LAYERS}
    return {
        **MODEL_CFG,
        "embed_dim": _WIDTH,
        "vision_cfg": {**MODEL_CFG["vision_cfg"], **tower, "image_size": _SIDE},
        "text_cfg": {**MODEL_CFG["text_cfg"], **tower, "heads": 3},
    }


def _inputs(pairs: Pairs, box: Letterbox, tokenize: object) -> tuple[Tensor, Tensor]:
    assert callable(tokenize)
    pixels = box.normalised(torch.stack([box.pixels(image) for image, _ in pairs]))
    return pixels, tokenize([text for _, text in pairs], context_length=_TOKENS)


def _short(tokens: Tensor) -> Tensor:
    """The rows without the columns that pad all of them. The padding's id is 0."""
    return tokens[:, : int((tokens != 0).sum(1).max())]
