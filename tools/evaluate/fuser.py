"""The fuser: the demo's captioner, taught to read an alt text in its prompt.

The demo's captioner knows four short prompts. The fuser goes on from its weights and learns the
chain of fusion.toml as well: `dense`, `short` that quotes it, and `fused` that quotes the alt text
and `short`. Its vision tower stays as it is. Its decoder can also copy a token of the prompt, as
pointer-generator networks do (See et al., ACL 2017): three layers alone did not learn to spell
names that they had never seen in a thousand steps.

`python -m tools.evaluate.fuser` trains it once into a cache folder.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import random
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import nll_loss
from transformers import AutoProcessor, AutoTokenizer, BlipForConditionalGeneration
from transformers.modeling_outputs import CausalLMOutputWithCrossAttentions
from transformers.models.blip.modeling_blip_text import BlipTextLMHeadModel

from kaption.workers.captioners._family import Loaded
from kaption.workers.captioners.prompts._own import read_file
from kaption.workers.captioners.prompts._prompt import filled
from kaption.workers.captioners.transformers import DEMO_FOLDER, TransformersCaptioner
from kaption.workers.demo.scenes import Scene, describe
from kaption.workers.policy.recaption import RecaptionPolicy
from tools.demo_models.alter import alter
from tools.demo_models.batches import to_pixels
from tools.demo_models.clip_losses import IGNORED
from tools.demo_models.photographs import render_chunk
from tools.demo_models.train_captioner import save
from tools.evaluate import cache, trained_once
from tools.evaluate.alt_texts import alt_text, fused, short

PROMPTS = Path(__file__).with_name("fusion.toml")
_POSITIONS = 224
"""Prompt and answer together; the demo's captioner has room for 80 tokens."""


@dataclass(frozen=True, slots=True)
class FuserRecipe:
    """`steps` of `batch` captions about `chunks` of 4096 images."""

    seed: int = 7_000_000
    chunks: int = 6
    steps: int = 8000
    batch: int = 32
    rate: float = 1e-3
    warm_up: int = 50


RECIPE = FuserRecipe()


class CopyingDecoder(BlipTextLMHeadModel):  # type: ignore[no-untyped-call] # left bare
    """A decoder whose next token is one of the vocabulary, or one that stands before it.

    A token may be copied by what precedes it: by the state and the embedding of the token before.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.asking = torch.nn.Linear(2 * width, width)
        self.preceding = torch.nn.Linear(2 * width, width)
        self.copies = torch.nn.Linear(width, 1)
        self._before: tuple[Tensor, Tensor] | None = None

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        labels: Tensor | None = None,
        **others: Any,
    ) -> CausalLMOutputWithCrossAttentions:
        """Log probabilities as logits: (B, L, vocabulary). While it generates, L is 1."""
        others.pop("logits_to_keep", None)
        goes_on = past_key_values is not None and past_key_values.get_seq_length() > 0
        made = self.bert(
            input_ids,
            attention_mask=attention_mask,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            past_key_values=past_key_values,
            **{"is_decoder": True, **others},
        )
        seen = made.last_hidden_state
        here = torch.cat([seen, self.bert.embeddings.word_embeddings(input_ids)], dim=-1)
        ids, held = input_ids, here
        if goes_on and self._before:
            ids = torch.cat([self._before[0], ids], dim=1)
            held = torch.cat([self._before[1], held], dim=1)
        self._before = None if self.training else (ids, held)
        # What precedes the first token is nothing, and nobody copies it.
        keys = self.preceding(held)[:, :-1]
        alike = self.asking(here) @ keys.transpose(1, 2) / keys.shape[-1] ** 0.5
        length, past = ids.shape[1], ids.shape[1] - input_ids.shape[1]
        later = torch.ones(length, length, dtype=torch.bool).triu(1)[past:, 1:]
        pointed = alike.float().masked_fill(later, -1e4).softmax(-1).masked_fill(later, 0)
        copied = torch.zeros(*pointed.shape[:2], self.config.vocab_size)
        copied = copied.scatter_add(2, ids[:, None, 1:].expand_as(pointed).contiguous(), pointed)
        share = self.copies(seen).float().sigmoid()
        chances = (1 - share) * self.cls(seen).float().softmax(-1) + share * copied
        logits = (chances + 1e-7).log()
        loss = None
        if labels is not None:
            told = logits[:, :-1].flatten(0, 1)
            loss = nll_loss(told, labels[:, 1:].flatten(), ignore_index=IGNORED)
        return CausalLMOutputWithCrossAttentions(
            loss=loss, logits=logits, past_key_values=made.past_key_values
        )


class FuserModel(BlipForConditionalGeneration):  # type: ignore[no-untyped-call] # left bare
    """A BLIP with that decoder and room for longer prompts."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.text_decoder = CopyingDecoder(config.text_config)


def build(policy: RecaptionPolicy) -> TransformersCaptioner:
    """The captioner `transformers` with the fuser and its prompts, as a plug-in."""
    given = policy.transformers.model_copy(
        update={"model": str(trained()), "prompts": str(PROMPTS), "device": "cpu"}
    )
    kind: Any = FuserModel  # transformers leaves its loaders without types
    model = kind.from_pretrained(given.model, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(given.model)  # type: ignore[no-untyped-call] # left bare
    device = torch.device("cpu")
    captioner = TransformersCaptioner(given, Loaded(model, processor, device, given.sampling))
    captioner.try_out()
    return captioner


def folder() -> Path:
    """The folder of the fuser. Another recipe has another folder."""
    digest = hashlib.sha256(f"{RECIPE} {PROMPTS.read_text('utf-8')}".encode()).hexdigest()[:8]
    return cache() / f"fuser-{digest}"


def trained() -> Path:
    """The fuser's folder. Trains it where it is missing."""
    return trained_once(folder(), lambda out: train(out, RECIPE))


def train(out: Path, recipe: FuserRecipe) -> None:
    """Train and write the folder `out`. Prints a line every 50 steps."""
    torch.manual_seed(recipe.seed)
    rng = random.Random(recipe.seed)  # noqa: S311 (training data, no secret)
    began = time.monotonic()
    tokenizer = AutoTokenizer.from_pretrained(DEMO_FOLDER, model_max_length=_POSITIONS)
    model = _begun()
    scenes, seen = _shown(model, recipe)
    print(f"{time.monotonic() - began:5.0f} s  {len(scenes)} images", flush=True)
    decoder = model.text_decoder.train()
    optimizer = torch.optim.AdamW(decoder.parameters(), recipe.rate, (0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda k: (
            min(1, (k + 1) / recipe.warm_up) * 0.5 * (1 + math.cos(math.pi * k / recipe.steps))
        ),
    )
    for step in range(recipe.steps):
        at = rng.choices(range(len(scenes)), k=recipe.batch)
        ids, mask, labels = lessons([scenes[n] for n in at], tokenizer, rng, step % 4 != 3)
        with torch.autocast("cpu", torch.bfloat16):
            loss = decoder(
                ids, attention_mask=mask, encoder_hidden_states=seen[at].float(), labels=labels
            ).loss
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 in (0, 3):
            spent = time.monotonic() - began
            print(f"{spent:5.0f} s  step {step}/{recipe.steps}  loss {loss.item():.3f}", flush=True)
    save(out, model, tokenizer)


def lessons(
    scenes: Sequence[Scene], tokenizer: Any, rng: random.Random, fusing: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """One answer to learn for each scene: (ids, attention mask, labels), each (B, L).

    With `fusing` all answer the prompt `fused`, else `dense` or `short`. The answers that a prompt
    quotes have a wrong detail in one of eight, as the model's own have.
    """
    prompts = {prompt.name: prompt.template for prompt in read_file(PROMPTS)}
    asked, texts = [], []
    for scene in scenes:
        name = "fused" if fusing else rng.choice(("dense", "short"))
        alt = alt_text(scene, rng, measured=False)
        said = alter(scene, rng) if rng.random() < 1 / 8 else scene
        known = {"dense": describe(said), "short": short(said), "alt_text": alt.text}
        answer = {"dense": describe(scene), "short": short(scene), "fused": fused(scene, alt)}
        asked.append(filled(prompts[name], known))
        texts.append(f"{asked[-1]} {answer[name]}".strip())
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    labels = tokens.input_ids.masked_fill(tokens.attention_mask == 0, IGNORED)
    for row, prompt in zip(labels, asked, strict=True):
        row[: len(tokenizer(prompt).input_ids) - 1] = IGNORED
    return tokens.input_ids, tokens.attention_mask, labels


def _begun() -> FuserModel:
    """The demo's weights; those of the pointer and of further positions begin at random."""
    demo: Any = BlipForConditionalGeneration.from_pretrained(DEMO_FOLDER, dtype=torch.float32)
    config = deepcopy(demo.config)
    config.text_config.max_position_embeddings = _POSITIONS
    model = FuserModel(config)
    weights = demo.state_dict()
    name = "text_decoder.bert.embeddings.position_embeddings.weight"
    old = weights.pop(name)
    model.load_state_dict(weights, strict=False)
    model.get_parameter(name).data[: len(old)] = old
    return model


@torch.inference_mode()
def _shown(model: Any, recipe: FuserRecipe) -> tuple[list[Scene], Tensor]:
    """Scenes, and what the vision tower makes of their images: (n, patches + 1, width), halves."""
    scenes: list[Scene] = []
    rows = []
    for at in range(recipe.chunks):
        chunk = render_chunk(recipe.seed + at, 4096, squashed=0.5)
        scenes += chunk.scenes
        for at in range(0, len(chunk.scenes), 128):
            pixels = to_pixels(chunk.images[at : at + 128])
            rows.append(model.vision_model(pixels).last_hidden_state.half())
    return scenes, torch.cat(rows).clone()


if __name__ == "__main__":
    argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0]).parse_args()
    print(trained())
