"""Trains the demo's CLIP from random weights: `python -m tools.demo_models.train_clip OUT`.

Run it in the root of a checkout. open_clip loads the folder OUT as `local-dir:OUT`. The training
takes about 20 minutes on one core with bfloat16 instructions; a second core renders the images
meanwhile.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import normalize

from kaption.workers.demo.scenes import Scene
from tools.demo_models.alter import Attribute, alter
from tools.demo_models.batches import SceneBatch, batches, multi_hot
from tools.demo_models.clip_config import EMBED, MODEL_CFG, PREPROCESS_CFG, WIDTH
from tools.demo_models.clip_losses import FactHead, PatchHeads, contrastive_loss, truth_table
from tools.demo_models.photographs import stream
from tools.demo_models.tokens import CONTEXT, END_ID, train_tokenizer
from tools.demo_models.wording import Sentence, facts, implied, junk, say

SEED = 1_000_000  # held-out scenes use lower seeds
# Shape and texture are hardest to see at 64 pixels, so they are altered most often.
_ALTERED: dict[Attribute, int] = {"shape": 8, "texture": 8, "color": 4, "size": 3, "context": 2}


@dataclass(frozen=True, slots=True)
class ClipRecipe:
    """Steps and images per step of the two parts, from `chunks` of 4096 rendered images."""

    patch_steps: int = 1900
    patch_batch: int = 64
    pair_steps: int = 1100
    pair_batch: int = 128
    text_steps: int = 150  # first pair steps: texts learn their facts before they are compared
    negatives: int = 2
    junk: int = 6
    chunks: int = 14
    rate: float = 1e-3
    warm_up: int = 100
    seed: int = SEED  # of the weights, the tokenizer, the scenes and the sentences


def encode_text(model: CLIP, tokens: Tensor) -> Tensor:
    """CLIP.encode_text for sequences shorter than the context, because padding costs time too."""
    length = tokens.shape[1]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    ends = (tokens == END_ID).int().argmax(-1)
    return normalize((x[torch.arange(len(x)), ends] @ model.text_projection).float(), dim=-1)


def sentences(scenes: list[Scene], recipe: ClipRecipe, rng: random.Random) -> list[Sentence]:
    """Each scene's own sentence, then hard negatives of each, then junk."""
    seeds = [rng.random() for _ in scenes]
    said = [say(s, random.Random(seed)) for s, seed in zip(scenes, seeds, strict=True)]  # noqa: S311 (training data)
    kinds, weights = list(_ALTERED), list(_ALTERED.values())
    for _ in range(recipe.negatives):
        for scene, seed in zip(scenes, seeds, strict=True):
            other = alter(scene, rng, rng.choices(kinds, weights)[0])
            said.append(say(other, random.Random(seed)))  # noqa: S311 (training data)
    return said + [junk(rng) for _ in range(recipe.junk)]


class Trainer:
    """The model, its training-only heads and one optimiser for all of them."""

    def __init__(self, recipe: ClipRecipe) -> None:
        self.recipe = recipe
        self.rng = random.Random(recipe.seed)  # noqa: S311 (training data, no secret)
        self.tokenizer = train_tokenizer(recipe.seed)
        self.model = CLIP(**MODEL_CFG)
        self.facts, self.patches = FactHead(EMBED), PatchHeads(WIDTH)
        self.bias = torch.nn.Parameter(torch.tensor(-0.5))
        self._seen: list[Tensor] = []
        # The last block only gathers for the embedding, so the heads read the block before it.
        self.model.visual.transformer.resblocks[-2].register_forward_hook(
            lambda _module, _inputs, output: self._seen.append(output)
        )
        modules = (self.model, self.facts, self.patches)
        self.parameters = [p for module in modules for p in module.parameters()] + [self.bias]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in self.parameters if p.ndim >= 2], "weight_decay": 0.05},
                {"params": [p for p in self.parameters if p.ndim < 2], "weight_decay": 0.0},
            ],
            lr=recipe.rate,
            betas=(0.9, 0.98),
        )

    def step(self, loss: Tensor, rate: float) -> None:
        """One optimiser step with `rate` times the recipe's learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate * rate
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=math.log(100))

    def look(self, batch: SceneBatch) -> tuple[Tensor, Tensor, Tensor]:
        """(unit image embeddings (B, EMBED), patch loss, accuracy for each attribute (4,))."""
        self._seen.clear()
        with torch.autocast("cpu", torch.bfloat16):
            embedding = self.model.encode_image(batch.pixels)
        loss, hits = self.patches(self._seen[0][:, 1:].float(), batch.labels, batch.offsets)
        return normalize(embedding.float(), dim=-1), loss, hits

    def patch_loss(self, batch: SceneBatch) -> tuple[Tensor, str]:
        """The loss of the first part: the vision tower alone."""
        _, loss, hits = self.look(batch)
        return loss, report(hits, patches=loss)

    def pair_loss(self, batch: SceneBatch, *, compare: bool) -> tuple[Tensor, str]:
        """The loss of the second part: the facts of both towers, and with `compare` their pairs."""
        count = len(batch.scenes)
        if compare:
            said = sentences(batch.scenes, self.recipe, self.rng)
        else:
            said = [say(scene, self.rng) for scene in batch.scenes]
        tokens = self.tokenizer(
            [sentence.text for sentence in said],
            padding=True,
            truncation=True,
            max_length=CONTEXT,
            return_tensors="pt",
        ).input_ids
        shown = multi_hot([facts(scene) for scene in batch.scenes])
        told = multi_hot([set().union(*map(implied, s.claims)) for s in said])
        images, patch_loss, hits = self.look(batch)
        with torch.autocast("cpu", torch.bfloat16):
            texts = encode_text(self.model, tokens)
        fact_loss = self.facts(images, shown) + self.facts(texts[:count], told[:count])
        if not compare:
            loss = 0.2 * patch_loss + fact_loss
            return loss, report(hits, patches=patch_loss, facts=fact_loss)
        pairs = contrastive_loss(
            images @ texts.T, truth_table(told, shown), self.model.logit_scale.exp(), self.bias
        )
        loss = pairs + 0.1 * patch_loss + 0.2 * fact_loss
        return loss, report(hits, patches=patch_loss, facts=fact_loss, pairs=pairs)

    def save(self, out: Path) -> None:
        """Write float16 weights, configuration and tokenizer."""
        out.mkdir(parents=True, exist_ok=True)
        weights = {k: v.half().contiguous() for k, v in self.model.state_dict().items()}
        save_file(weights, str(out / "open_clip_model.safetensors"))
        config = {"model_cfg": MODEL_CFG, "preprocess_cfg": PREPROCESS_CFG}
        (out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
        self.tokenizer.save_pretrained(out)


def report(hits: Tensor, **losses: Tensor) -> str:
    """One line: the losses, then the patches' accuracy for shape, colour, texture, size."""
    named = "  ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items())
    return f"{named}  hits {' '.join(f'{hit:.2f}' for hit in hits.tolist())}"


def train(out: Path, recipe: ClipRecipe) -> None:
    """Train and write the folder `out`. Prints a line every 50 steps."""
    torch.manual_seed(recipe.seed)
    order = np.random.default_rng(recipe.seed)
    trainer = Trainer(recipe)
    began = time.monotonic()
    chunks = stream(recipe.seed, recipe.chunks)
    for step, batch in enumerate(
        islice(batches(chunks, recipe.patch_batch, order), recipe.patch_steps)
    ):
        loss, line = trainer.patch_loss(batch)
        trainer.step(loss, min(1.0, (step + 1) / recipe.warm_up))
        if step % 50 == 0:
            print(f"{time.monotonic() - began:5.0f} s  patches {step:4}  {line}", flush=True)
    for step, batch in enumerate(
        islice(batches(chunks, recipe.pair_batch, order), recipe.pair_steps)
    ):
        loss, line = trainer.pair_loss(batch, compare=step >= recipe.text_steps)
        trainer.step(loss, 0.5 * (1 + math.cos(math.pi * step / recipe.pair_steps)))
        if step % 50 == 0:
            print(f"{time.monotonic() - began:5.0f} s  pairs {step:4}  {line}", flush=True)
            trainer.save(out)  # so that the model can be tried before the end
    trainer.save(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("out", type=Path, help="folder to write")
    given = parser.parse_args()
    torch.set_num_threads(1)
    # The flash kernel's backward pass on CPU is several times slower than plain matrix products.
    with sdpa_kernel(SDPBackend.MATH):
        train(given.out, ClipRecipe())
