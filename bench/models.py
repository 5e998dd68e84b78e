"""Compares the models' batch paths with one image at a time: `python -m bench.models`.

Both sides of a row do the same work: the same images and prompts, the same number of candidates and
the same limit of tokens. They run in turns and the ratio is that of their medians, so a slow
machine slows both.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image

from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.captioners.transformers import build
from kaption.workers.plugins import load_scorer
from kaption.workers.policy.recaption import RecaptionPolicy, SamplingPolicy, TransformersPolicy
from kaption.workers.policy.score import ClipPolicy

Run = Callable[[], object]


def main() -> None:
    """Print a row for each comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", default="demo", help="a scorer, as in ClipPolicy.model")
    parser.add_argument("--captioner", default="demo", help="as in TransformersPolicy.model")
    parser.add_argument(
        "--recommended-score", type=float, help="for a scorer without a recommendation"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--threads", type=int, default=0, help="torch CPU threads; 0: torch's choice"
    )
    parser.add_argument("--batch", type=int, default=16, help="images in a batch of the captioner")
    parser.add_argument("--encode-batch", type=int, default=64)
    parser.add_argument("--candidates", type=int, default=5)
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, device {given.device}")
    _recaption(given)
    _encode(given)


def _recaption(given: argparse.Namespace) -> None:
    sampling = SamplingPolicy(candidates=given.candidates)
    policy = TransformersPolicy(model=given.captioner, device=given.device, sampling=sampling)
    captioner = build(RecaptionPolicy(transformers=policy))
    images = noise_images(given.batch)
    contexts = [CaptionContext("")] * len(images)
    asked = [caption.prompt_id for caption in captioner.caption(images[:1], contexts[:1])[0]]
    texts = {prompt.id: prompt.template for prompt in captioner._prompts}
    prompts = Counter(texts[name] for name in asked if name is not None)
    loaded = captioner._family._loaded

    def batched() -> object:
        return captioner.caption(images, contexts)

    def one_at_a_time() -> object:
        return [captioner.caption([p], [c]) for p, c in zip(images, contexts, strict=True)]

    def recipe() -> object:
        return [published_recipe(loaded, image, prompts) for image in images]

    name = f"recaption {len(images)} images, N={given.candidates}"
    _row(f"{name}: batch vs one image at a time", batched, one_at_a_time, given, len(images))
    if loaded.model.config.model_type != "llava":  # its prompts need the chat template
        _row(f"{name}: batch vs processor + generate", batched, recipe, given, len(images))


@torch.inference_mode()
def published_recipe(loaded: Any, image: Image.Image, prompts: Counter[str]) -> list[str]:
    """Processor and generate on one image, with several samples of a prompt in one call."""
    found: list[str] = []
    for prompt, count in prompts.items():
        inputs = loaded.processor(images=image, text=prompt, return_tensors="pt")
        out = loaded.model.generate(
            **inputs.to(loaded.device, loaded.model.dtype),
            do_sample=True,
            num_return_sequences=count,
            temperature=loaded.sampling.temperature,
            top_p=loaded.sampling.top_p,
            repetition_penalty=loaded.sampling.repetition_penalty,
            max_new_tokens=loaded.sampling.max_new_tokens,
        )
        found += loaded.decode(out)
    return found


def _encode(given: argparse.Namespace) -> None:
    policy = ClipPolicy(
        model=given.clip, device=given.device, recommended_score=given.recommended_score
    )
    scorer = load_scorer(policy)
    pixels = [scorer.preprocess(image) for image in noise_images(given.encode_batch)]

    def batched() -> object:
        return scorer.encode_images(pixels)

    def one_at_a_time() -> object:
        return [scorer.encode_images([image]) for image in pixels]

    name = f"encode {len(pixels)} images: batch vs one at a time"
    _row(name, batched, one_at_a_time, given, len(pixels))


def _row(name: str, ours: Run, theirs: Run, given: argparse.Namespace, images: int) -> None:
    ours()
    theirs()
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(given.turns):
        for run, seconds in zip((ours, theirs), taken, strict=True):
            began = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - began)
    fast, slow = (statistics.median(seconds) for seconds in taken)
    rates = f"{images / fast:8.1f} vs {images / slow:8.1f} images/s"
    print(f"{name:64} {slow / fast:6.2f}x   {rates}")


def noise_images(count: int) -> list[Image.Image]:
    """Images of coloured noise. The same count gives the same images."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (8, 6, 3), np.uint8) for _ in range(count)]
    return [Image.fromarray(values).resize((384, 512)) for values in noise]


if __name__ == "__main__":
    main()
