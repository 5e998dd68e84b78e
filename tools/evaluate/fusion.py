"""Fusion: what a caption made of image and alt text keeps of the alt text, and should not keep.

The chain of fusion.toml is asked through the captioner `transformers` with the fuser as its model,
and the captions are ranked and cut as in the stage select. The names of an alt text that is about
another image are false, and so is what it says about shapes, colours and the like.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from kaption.schemas import Caption, CaptionKind
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.demo.scenes import COLORS, CONTEXTS, SHAPES, SIZES, TEXTURES, Scene, describe
from kaption.workers.models.windows import score_texts
from kaption.workers.plugins import load_scorer
from kaption.workers.policy.recaption import RecaptionPolicy, SamplingPolicy, TransformersPolicy
from kaption.workers.settings import load_settings
from kaption.workers.stages.select.comparison import Comparison
from kaption.workers.stores.bank import Embedded
from tools.demo_models.measure import Specimen, specimens
from tools.evaluate import fuser
from tools.evaluate.alt_texts import AltText, AltTextKind, alt_text
from tools.evaluate.facts import by_kind
from tools.evaluate.figures import Figure, ratio, share
from tools.evaluate.mentions import compare

SEED = 60_011
_BATCH = 16
_SEEN = (*CONTEXTS, *SHAPES, *COLORS, *TEXTURES, *SIZES)
NAMES = {"people": "person", "places": "place", "numbers": "number"}
"""What no image shows, by the fields of `AltText`."""


@dataclass(frozen=True, slots=True)
class Fused:
    """An alt text about a scene, and captions of the scene."""

    scene: Scene
    alt: AltText
    dense: str
    """Made without the alt text."""
    fused: str
    kept: Sequence[Caption] = ()
    """Those that select keeps of the chain's captions, best first."""


def measure(images: int) -> list[Figure]:
    """Figures of alt texts, of captions made without them, of fused ones and of what is kept."""
    return figures(fuse(specimens(images, worn=True, seed=SEED)))


def fuse(shown: Sequence[Specimen]) -> list[Fused]:
    """Ask the chain about each image with an alt text of its own."""
    rng = random.Random(SEED)  # noqa: S311 (no secret)
    alts = [alt_text(one.scene, rng, measured=True) for one in shown]
    sampling = SamplingPolicy(
        candidates=3, max_new_tokens=72, temperature=0.3, repetition_penalty=1.0
    )
    captioner = fuser.build(RecaptionPolicy(transformers=TransformersPolicy(sampling=sampling)))
    answers: list[tuple[Caption, ...]] = []
    for at in range(0, len(shown), _BATCH):
        contexts = [CaptionContext(alt.text) for alt in alts[at : at + _BATCH]]
        answers += captioner.caption([one.image for one in shown[at : at + _BATCH]], contexts)
    chosen = _selected(shown, answers, [alt.text for alt in alts])
    return [
        Fused(one.scene, alt, dense.text, fused.text, kept)
        for one, alt, (dense, _, fused), kept in zip(shown, alts, answers, chosen, strict=True)
    ]


def _selected(
    shown: Sequence[Specimen], answers: Sequence[Sequence[Caption]], alt_texts: Sequence[str]
) -> list[list[Caption]]:
    """What select keeps, with the images themselves as its bank."""
    settings = load_settings(None, "demo")
    scorer = load_scorer(settings.clip)
    rows = scorer.encode_images([scorer.preprocess(one.image) for one in shown])
    images = Embedded([str(at) for at in range(len(shown))], rows)
    # Of the stage's alignment only this is asked for; the rest of it needs Redis and a store.
    alignment: Any = SimpleNamespace(
        scores=lambda vectors, texts: score_texts(
            scorer, [each.text for _, each in texts], vectors[[at for at, _ in texts]]
        )
    )
    comparison = Comparison(alignment, settings.select, images, images)
    texts = [(at, each) for at, captions in enumerate(answers) for each in captions]
    measured: list[list[Caption]] = [[] for _ in shown]
    for (at, _), caption in zip(texts, comparison.measured(texts), strict=True):
        measured[at].append(caption)
    least = scorer.recommended_score or -1.0
    return comparison.kept(measured, [least] * len(shown), lambda caption: caption, alt_texts)


def figures(found: Sequence[Fused]) -> list[Figure]:
    """The table."""
    kept = [one for one in found if one.kept]
    true = [one for one in found if one.alt.kind is not AltTextKind.OTHER]
    other = [one for one in found if one.alt.kind is AltTextKind.OTHER]
    made = [share("kept captions: a fused one among them", [bool(_last(one)) for one in kept])]
    made += _kept("fused", true, lambda one: one.fused)
    made += _kept("fused and kept", [one for one in true if _last(one)], _last)
    for kind in (AltTextKind.DETAIL, AltTextKind.OTHER):
        some = [one for one in found if one.alt.kind is kind]
        made.append(_carried(f"alt text {kind}: false details that fused captions repeat", some))
    names = [name in _words(one.fused) for one in other for name in map(str.lower, one.alt.names)]
    made.append(share("alt text of another image: names that fused captions repeat", names))
    for what, text in _SIDES.items():
        facts = [compare(text(one), one.scene) for one in found]
        made += by_kind(what, facts)[:2]
        made.append(
            share(
                f"{what}: without a false fact",
                [sum(each.stated.values()) == sum(each.right.values()) for each in facts],
            )
        )
    return made


_SIDES: Mapping[str, Callable[[Fused], str]] = {
    "alt text": lambda one: one.alt.text,
    "without the alt text": lambda one: one.dense,
    "fused": lambda one: one.fused,
}


def _last(one: Fused) -> str:
    """The fused caption as select keeps it; empty where it keeps others."""
    return next((each.text for each in one.kept if each.kind is CaptionKind.FUSED), "")


def _kept(what: str, some: Sequence[Fused], text: Callable[[Fused], str]) -> Iterator[Figure]:
    """Names and other true facts of the alt texts that a caption has."""
    parts, wholes = np.zeros(len(some)), np.zeros(len(some))
    for title, field in NAMES.items():
        hits = [
            (at, getattr(one.alt, field).lower() in _words(text(one)))
            for at, one in enumerate(some)
            if getattr(one.alt, field)
        ]
        for at, hit in hits:
            parts[at] += hit
            wholes[at] += 1
        yield share(f"{what}: {title} of the alt text kept", [hit for _, hit in hits])
    for at, one in enumerate(some):
        before, after = (compare(each, one.scene).found for each in (one.alt.text, text(one)))
        parts[at] += sum((before & after).values())
        wholes[at] += sum(before.values())
    yield ratio(f"{what}: all true facts of the alt text kept", list(parts), list(wholes))


def _carried(name: str, some: Sequence[Fused]) -> Figure:
    """Words of the alt text for what no object of the scene is, that the caption has too."""
    hits = []
    for one in some:
        shown = describe(one.scene)
        false = [word for word in _seen(one.alt.text) if word not in _seen(shown)]
        hits += [word in _seen(one.fused) for word in false]
    return share(name, hits)


def _seen(text: str) -> list[str]:
    """Places, shapes, colours, textures and sizes in a text."""
    rest = text.lower()
    found: list[str] = []
    for word in _SEEN:
        # Places come first: "on green grass" does not name a green object.
        if re.search(rf"\b{word}\b", rest):
            found.append(word)
            rest = rest.replace(word, " ") if " " in word else rest
    return found


def _words(text: str) -> str:
    return " ".join(text.lower().split())
