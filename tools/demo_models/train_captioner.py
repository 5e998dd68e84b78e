"""Trains the demo's BLIP captioner: `python -m tools.demo_models.train_captioner OUT CLIP`.

Run it in the root of a checkout. CLIP is the folder that train_clip wrote; its vision tower and its
tokenizer are copied. transformers loads the folder OUT with AutoModelForImageTextToText and
AutoProcessor. The training takes about 12 minutes on one core with bfloat16 instructions; a second
core renders the images meanwhile.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from kaption.workers.demo.scenes import Aspect, Scene, describe
from tools.demo_models.batches import batches
from tools.demo_models.clip_config import LAYERS, WIDTH
from tools.demo_models.clip_losses import IGNORED
from tools.demo_models.photographs import PATCH, SIDE, stream
from tools.demo_models.tokens import CONTEXT, END_ID, PAD_ID, START_ID, VOCABULARY

if TYPE_CHECKING:
    from transformers import BlipForConditionalGeneration, PreTrainedTokenizerBase

SEED = 2_000_000  # other images than those of the CLIP and of the measurement
PROMPTS: dict[Aspect, str] = {
    "full": "",
    "appearance": "appearance:",
    "texture": "texture:",
    "context": "context:",
}
_ASPECTS: dict[Aspect, int] = {"full": 5, "appearance": 3, "texture": 3, "context": 1}


@dataclass(frozen=True, slots=True)
class CaptionerRecipe:
    """`steps` of `batch` images with `captions` captions each, from `chunks` of 4096 images."""

    steps: int = 900
    batch: int = 128
    captions: int = 2
    chunks: int = 10
    rate: float = 1.5e-3
    vision_rate: float = 4e-4
    warm_up: int = 60
    squashed: float = 0.5  # the BLIP processor squashes, and a caller may letterbox before


def build(clip: Path) -> BlipForConditionalGeneration:
    """A BLIP with a random text decoder and the vision tower of the open_clip folder `clip`."""
    from transformers import BlipConfig, BlipForConditionalGeneration

    shared = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": 4}
    config = BlipConfig(
        vision_config={
            **shared,
            "num_hidden_layers": LAYERS,
            "image_size": SIDE,
            "patch_size": PATCH,
        },
        text_config={
            **shared,
            "num_hidden_layers": 3,
            "encoder_hidden_size": WIDTH,
            "vocab_size": VOCABULARY,
            "max_position_embeddings": CONTEXT + 3,
            "layer_norm_eps": 1e-5,
            "bos_token_id": START_ID,
            "eos_token_id": END_ID,
            "sep_token_id": END_ID,
            "pad_token_id": PAD_ID,
        },
    )
    model = BlipForConditionalGeneration(config)
    weights = load_file(str(clip / "open_clip_model.safetensors"))
    model.vision_model.load_state_dict(vision_weights(weights))
    return model


def vision_weights(clip: dict[str, Tensor]) -> dict[str, Tensor]:
    """open_clip's vision tower under BLIP's names. Its convolution has no bias: BLIP's is zero."""
    found = {
        "embeddings.class_embedding": clip["visual.class_embedding"].view(1, 1, -1),
        "embeddings.position_embedding": clip["visual.positional_embedding"].unsqueeze(0),
        "embeddings.patch_embedding.weight": clip["visual.conv1.weight"],
        "embeddings.patch_embedding.bias": torch.zeros(WIDTH),
        "post_layernorm.weight": clip["visual.ln_post.weight"],
        "post_layernorm.bias": clip["visual.ln_post.bias"],
    }
    names = {
        "ln_1.{}": "layer_norm1.{}",
        "ln_2.{}": "layer_norm2.{}",
        "attn.in_proj_{}": "self_attn.qkv.{}",
        "attn.out_proj.{}": "self_attn.projection.{}",
        "mlp.c_fc.{}": "mlp.fc1.{}",
        "mlp.c_proj.{}": "mlp.fc2.{}",
    }
    for layer in range(LAYERS):
        for theirs, ours in names.items():
            for kind in ("weight", "bias"):
                source = f"visual.transformer.resblocks.{layer}.{theirs.format(kind)}"
                found[f"encoder.layers.{layer}.{ours.format(kind)}"] = clip[source]
    return {name: value.float() for name, value in found.items()}


def lessons(
    scenes: list[Scene], tokenizer: PreTrainedTokenizerBase, rng: random.Random
) -> tuple[Tensor, Tensor, Tensor]:
    """One caption to learn for each scene: (ids, attention mask, labels), each (B, L).

    The labels ignore the prompt's tokens, because generation starts with the prompt.
    """
    aspects = rng.choices(list(_ASPECTS), list(_ASPECTS.values()), k=len(scenes))
    texts = [
        f"{PROMPTS[aspect]} {describe(scene, aspect)}".strip()
        for aspect, scene in zip(aspects, scenes, strict=True)
    ]
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    labels = tokens.input_ids.masked_fill(tokens.attention_mask == 0, IGNORED)
    for row, aspect in zip(labels, aspects, strict=True):
        row[: len(tokenizer(PROMPTS[aspect]).input_ids) - 1] = IGNORED
    return tokens.input_ids, tokens.attention_mask, labels


def train(out: Path, clip: Path, recipe: CaptionerRecipe) -> None:
    """Train and write the folder `out`. Prints a line every 50 steps."""
    from transformers import AutoTokenizer

    torch.manual_seed(SEED)
    rng = random.Random(SEED)  # noqa: S311 (training data, no secret)
    tokenizer = AutoTokenizer.from_pretrained(clip)
    model = build(clip).train()
    vision = {id(p) for p in model.vision_model.parameters()}
    groups: list[dict[str, Any]] = [
        {"params": list(model.vision_model.parameters()), "lr": recipe.vision_rate},
        {"params": [p for p in model.parameters() if id(p) not in vision]},
    ]
    optimizer = torch.optim.AdamW(
        groups,
        lr=recipe.rate,
        betas=(0.9, 0.98),
        weight_decay=0.05,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda k: (
            min(1, (k + 1) / recipe.warm_up) * 0.5 * (1 + math.cos(math.pi * k / recipe.steps))
        ),
    )
    began = time.monotonic()
    chunks = stream(SEED, recipe.chunks, squashed=recipe.squashed)
    source = batches(chunks, recipe.batch, np.random.default_rng(SEED))
    for step, batch in enumerate(islice(source, recipe.steps)):
        ids, mask, labels = lessons(
            [scene for scene in batch.scenes for _ in range(recipe.captions)], tokenizer, rng
        )
        with torch.autocast("cpu", torch.bfloat16):
            seen = model.vision_model(batch.pixels).last_hidden_state
            loss = model.text_decoder(
                ids,
                attention_mask=mask,
                encoder_hidden_states=seen.repeat_interleave(recipe.captions, 0),
                labels=labels,
            ).loss
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            spent = time.monotonic() - began
            print(f"{spent:5.0f} s  step {step}/{recipe.steps}  loss {loss.item():.3f}", flush=True)
            save(out, model, tokenizer)  # so that the model can be tried before the end
    save(out, model, tokenizer)


def save(
    out: Path, model: BlipForConditionalGeneration, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Write float16 weights, configuration and processor."""
    from transformers import BlipImageProcessor, BlipProcessor

    images = BlipImageProcessor(
        size={"height": SIDE, "width": SIDE}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    halves: Any = deepcopy(model)  # Any: transformers leaves half() without types
    halves.half().save_pretrained(out)
    processor = BlipProcessor(images, tokenizer)  # type: ignore[no-untyped-call] # left bare
    processor.save_pretrained(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("clip", type=Path, help="folder that train_clip wrote")
    given = parser.parse_args()
    torch.set_num_threads(1)
    # The flash kernel's backward pass on CPU is several times slower than plain matrix products.
    with sdpa_kernel(SDPBackend.MATH):
        train(given.out, given.clip, CaptionerRecipe())
