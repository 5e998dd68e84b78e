"""Measures BLIP-2 and ViT-L/14 of real size with random weights on a GPU: `python -m bench.gpu`.

BLIP-2 OPT-2.7B in bf16: the batch path of the recaption stage against a loop over the published
recipe (processor and generate on one image, 3 samples of one prompt in one call). The aim is 40x.
Both use the same loaded model and generate the same number of tokens, which is checked. Our prompts
are longer. The loop runs over a few images of the batch, because its rate does not depend on their
number.

ViT-L/14: FLOP/s of the scorer's encoding, from uint8 pixels to embeddings in host memory, over the
FLOP/s of a large matmul in the same run. The aim is 0.6. FLOPs are counted from the model.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from tempfile import TemporaryDirectory

import torch
import transformers

from bench.models import Run, noise_images, published_recipe
from bench.random_models import vit_flops, write_blip2, write_vit
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.captioners.prompts import PROMPT_SETS
from kaption.workers.captioners.transformers import build
from kaption.workers.models.device import pick_device
from kaption.workers.plugins import load_scorer
from kaption.workers.policy.recaption import RecaptionPolicy, SamplingPolicy, TransformersPolicy
from kaption.workers.policy.score import ClipPolicy
from kaption.workers.runtime.stage import OutOfMemory

_CANDIDATES = 3
_IN_A_ROW = 10
"""Runs that are timed together, because one is short."""


def main() -> None:
    """Print a row for each batch size, first of captions, then of embeddings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="tiny models, to try it on a CPU")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 64, 128])
    parser.add_argument("--encode-batches", type=int, nargs="+", default=[64, 256])
    parser.add_argument(
        "--loop", type=int, default=4, help="at most this many images for the recipe"
    )
    parser.add_argument("--tokens", type=int, default=60, help="new tokens of each candidate")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--peak-tflops", type=float, help="the vendor's dense bf16 figure")
    given = parser.parse_args()
    if given.tiny:
        given.tokens = min(given.tokens, 8)
    device = pick_device("auto")
    if device.type != "cuda" and not given.tiny:
        parser.error("there is no CUDA device; --tiny tries the benchmark without one")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, bf16 on {name}")
    _recaption(given, device)
    _encode(given, device)


def _recaption(given: argparse.Namespace, device: torch.device) -> None:
    sampling = SamplingPolicy(candidates=_CANDIDATES, max_new_tokens=given.tokens)
    with TemporaryDirectory() as folder:
        write_blip2(folder, device, tiny=given.tiny)
        policy = TransformersPolicy(model=folder, precision="bf16", sampling=sampling)
        captioner = build(RecaptionPolicy(transformers=policy))
    loaded = captioner._family._loaded
    reader = loaded.model.language_model
    reader.generation_config.min_new_tokens = given.tokens  # both sides use it
    prompts = Counter({PROMPT_SETS["blip-2"][0].template: _CANDIDATES})
    images = noise_images(max(given.batches))

    def ours(count: int) -> object:
        return captioner.caption(images[:count], [CaptionContext("")] * count)

    def recipe(count: int) -> object:
        return [published_recipe(loaded, image, prompts) for image in images[:count]]

    # Our path has one more step: it reads the image before the prompts.
    steps = _calls(reader.lm_head, partial(ours, 1)) - 1, _calls(reader.lm_head, partial(recipe, 1))
    if steps != (given.tokens, given.tokens):
        raise SystemExit(f"generated tokens differ: ours {steps[0]}, the recipe {steps[1]}")
    print(f"recaption: {_CANDIDATES} candidates of {given.tokens} tokens each on both sides")

    def row(batch: int) -> str:
        few = min(batch, given.loop)
        ours(batch)  # warm
        taken = [
            (_seconds(partial(ours, batch)) / batch, _seconds(partial(recipe, few)) / few)
            for _ in range(given.turns)
        ]
        fast, slow = (statistics.median(each) for each in zip(*taken, strict=True))
        return f"{slow / fast:6.2f}x the recipe   {1 / fast:.2f} vs {1 / slow:.2f} images/s"

    for batch in given.batches:
        _print(f"recaption, batch {batch}", partial(row, batch))


def _encode(given: argparse.Namespace, device: torch.device) -> None:
    with TemporaryDirectory() as folder:
        write_vit(folder, device, tiny=given.tiny)
        name = f"local-dir:{folder}"
        scorer = load_scorer(ClipPolicy(model=name, precision="bf16", recommended_score=0.0))
    flops = vit_flops(tiny=given.tiny)
    side = 256 if given.tiny else 8192
    left, right = torch.randn(2, side, side, device=device, dtype=torch.bfloat16)

    def rates(run: Run, work: int) -> list[float]:
        """TFLOP/s of each turn, after one turn to warm up."""
        return [work / _seconds(run, _IN_A_ROW) / 1e12 for _ in range(given.turns + 1)][1:]

    peak = max(rates(lambda: left @ right, 2 * side**3))
    print(f"matmul of {side} x {side}: {peak:.4g} TFLOP/s: the measured peak")

    def row(batch: int) -> str:
        pixels = [scorer.preprocess(image) for image in noise_images(batch)]
        reached = statistics.median(rates(lambda: scorer.encode_images(pixels), flops * batch))
        text = f"{reached / peak:6.2f} of the measured peak   {reached:.4g} TFLOP/s"
        if given.peak_tflops:
            text += f", {reached / given.peak_tflops:.2f} of the vendor's {given.peak_tflops:g}"
        return f"{text}, {reached * 1e12 / flops:.0f} images/s"

    for batch in given.encode_batches:
        _print(f"encode, batch {batch}", partial(row, batch))


def _calls(module: torch.nn.Module, run: Run) -> int:
    """How often a run calls a module."""
    seen: list[None] = []
    hook = module.register_forward_hook(lambda *_: seen.append(None))
    run()
    hook.remove()
    return len(seen)


def _seconds(run: Run, times: int = 1) -> float:
    """Seconds of one run, with the device's work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / times


def _print(name: str, row: Callable[[], str]) -> None:
    """Print a row. A size that does not fit into memory does not end the others."""
    try:
        text = row()
    except (OutOfMemory, torch.OutOfMemoryError):
        text = "out of memory"
    print(f"{name:24} {text}", flush=True)


if __name__ == "__main__":
    main()
