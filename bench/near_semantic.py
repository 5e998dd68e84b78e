"""Measures semantic near-duplicates: `python -m bench.near_semantic [--model NAME] [--log]`.

For each family of images: the share of altered images and of other renderings whose embedding is
as near as the threshold (recall), and the share of different images that have another one so near
(false rate), for several thresholds. `--log` measures what a claim costs instead, by the images
that are kept, and `--kept` how many different scenes of the demo are marked beside so many others.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from bench.near_images import FAMILIES, folder
from kaption.connections.settings import RedisConnection
from kaption.workers.demo.painting import render
from kaption.workers.demo.scenes import describe, random_scene
from kaption.workers.models.open_clip import OpenClipScorer, build
from kaption.workers.policy.score import ClipPolicy

COSINES = (0.9, 0.95, 0.97, 0.98, 0.99, 0.995)
Altered = Callable[[Image.Image, random.Random], Image.Image]


def _cropped(image: Image.Image, rng: random.Random) -> Image.Image:
    across, down = (round(0.15 * side) for side in image.size)
    left, top = rng.randrange(across + 1), rng.randrange(down + 1)
    return image.crop((left, top, image.width - across + left, image.height - down + top))


def _recoloured(image: Image.Image, rng: random.Random) -> Image.Image:
    warm = ImageEnhance.Color(image).enhance(rng.choice((0.5, 1.6)))
    return ImageEnhance.Brightness(warm).enhance(rng.choice((0.75, 1.25)))


ALTERED: dict[str, Altered] = {
    "15 % cropped": _cropped,
    "recoloured": _recoloured,
    "half the size": lambda image, _: image.resize((image.width // 2, image.height // 2)),
    "mirrored": lambda image, _: ImageOps.mirror(image),
    "blurred": lambda image, _: image.filter(ImageFilter.GaussianBlur(image.width / 150)),
    "turned by 5 degrees": lambda image, _: image.rotate(5, fillcolor="white"),
}


def scenes(count: int, seed: int) -> Iterator[Image.Image]:
    """Scenes of the demo's crawl, which the demo's scorer has learned."""
    for at in range(count):
        rng = random.Random(1000 * seed + at)
        yield render(random_scene(rng, 4 / 3), 256, rng)


def rendered_again(count: int, seed: int) -> Iterator[tuple[Image.Image, Image.Image]]:
    """Pairs of renderings of one scene."""
    for at in range(count):
        rng = random.Random(1000 * seed + at)
        scene = random_scene(rng, 4 / 3)
        yield render(scene, 256, random.Random(1)), render(scene, 256, random.Random(2))


def main() -> None:
    """Print a row for each family."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo", help="clip.model: the demo's toy, or a real one")
    parser.add_argument("--images", type=int, default=150, help="different images of a family")
    parser.add_argument("--copied", type=int, default=30, help="images of a family to alter")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, action="append", default=[], help="your own images")
    parser.add_argument("--log", action="store_true", help="measure what a claim costs")
    parser.add_argument("--kept", type=int, help="scenes to measure false marks among")
    given = parser.parse_args()
    if given.log:
        costs()
        return
    scorer = build(ClipPolicy(model=given.model, device="cpu"))
    draws = FAMILIES | {"scenes of the demo": scenes}
    families = {name: draw(given.images, given.seed) for name, draw in draws.items()}
    families |= {str(path): folder(path, given.images, given.seed) for path in given.folder}
    head = " | ".join(f"{cosine:g}" for cosine in COSINES)
    print(f"| family | of | {head} |\n|{'---|' * (len(COSINES) + 2)}")
    if given.kept:
        crowded(scorer, given.kept)
        return
    for name, images in families.items():
        drawn = list(images)
        rows = embedded(scorer, drawn)
        alike = rows @ rows.T
        print_row(name, "false rate", np.tril(alike, -1)[1:].max(axis=1))
        chosen = random.Random(given.seed).sample(range(len(drawn)), min(given.copied, len(drawn)))
        for change, alter in ALTERED.items():
            altered = [alter(drawn[at], random.Random(at)) for at in chosen]
            print_row(name, change, (embedded(scorer, altered) * rows[chosen]).sum(axis=1))
    first, second = zip(*rendered_again(given.copied, given.seed), strict=True)
    found = (embedded(scorer, list(first)) * embedded(scorer, list(second))).sum(axis=1)
    print_row("scenes of the demo", "rendered again", found)


def crowded(scorer: OpenClipScorer, kept: int, probes: int = 1000) -> None:
    """Print the share of new scenes that are marked as like another one, by the images kept.

    A mark is false if no kept scene that is so near has the same objects, attributes and place.
    """
    rng = random.Random(2)
    drawn = [random_scene(rng, 4 / 3) for _ in range(kept + probes)]
    rows = [
        embedded(scorer, [render(scene, 128, rng) for scene in drawn[at : at + 512]])
        for at in range(0, len(drawn), 512)
    ]
    vectors = np.concatenate(rows)
    told = np.unique([describe(scene) for scene in drawn], return_inverse=True)[1]
    counts = [count for count in (100, 1_000, 10_000, 100_000) if count < kept] + [kept]
    nearest = []
    for at in range(kept, kept + probes):
        cosines = vectors[:kept] @ vectors[at]
        cosines[told[:kept] == told[at]] = -1.0  # a right mark
        nearest.append([cosines[:count].max() for count in counts])
    for count, column in zip(counts, np.array(nearest, np.float32).T, strict=True):
        print_row(f"scenes of the demo, {count:,} kept", "false marks", column)


def print_row(family: str, what: str, cosines: NDArray[np.float32]) -> None:
    """The share of cosines that reach each threshold."""
    shares = " | ".join(f"{(cosines >= least).mean():.1%}" for least in COSINES)
    print(f"| {family} | {what} | {shares} |", flush=True)


def embedded(scorer: OpenClipScorer, images: list[Image.Image]) -> NDArray[np.float32]:
    """Unit rows."""
    pixels = [scorer.preprocess(image.convert("RGB")) for image in images]
    return np.concatenate(
        [scorer.encode_images(pixels[at : at + 32]) for at in range(0, len(pixels), 32)]
    )


def costs(d: int = 512, batch: int = 64) -> None:
    """Print round trips, bytes and time of a claim, by the number of kept images."""
    from kaption.workers.local import Valkey
    from kaption.workers.stores.client import connect_redis
    from kaption.workers.stores.semantic import ClaimedImage, SemanticClaims

    rng = np.random.default_rng(1)
    with Valkey() as server:
        client = connect_redis(RedisConnection.model_validate({"url": server.url}))
        claims = SemanticClaims(client, "bench:", 0.95, 100_000)
        kept = 0

        def claim(count: int = batch) -> None:
            nonlocal kept
            rows = rng.normal(size=(count, d)).astype(np.float32)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            numbers = range(kept, kept + count)
            named = [
                ClaimedImage(f"{n:064x}", f"pairs.raw/0/{n}/{'A' * 22}", f"pair-{n}")
                for n in numbers
            ]
            claims.claim(("revision", "preprocessing"), named, rows)
            kept += count

        print("| kept images | calls for 64 images | bytes for an image | ms for an image | MB |")
        for goal in (1_000, 10_000, 100_000):
            while kept < goal:
                claim(min(500, goal - kept))
            before = client.info("stats"), client.info("commandstats")
            began = time.perf_counter()
            for _ in range(10):
                claim()
            seconds = (time.perf_counter() - began) / 10 / batch
            after = client.info("stats"), client.info("commandstats")
            calls = sum(
                after[1].get(name, {"calls": 0})["calls"]
                - before[1].get(name, {"calls": 0})["calls"]
                for name in ("cmdstat_evalsha", "cmdstat_eval")
            )
            moved = sum(
                after[0][name] - before[0][name]
                for name in ("total_net_input_bytes", "total_net_output_bytes")
            )
            memory = client.info("memory")["used_memory"] / 1e6
            print(
                f"| {goal:,} | {calls / 10:.1f} | {moved / 10 / batch:,.0f} | {1000 * seconds:.2f} "
                f"| {memory:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
