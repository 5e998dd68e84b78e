"""Sentences about scenes in the style of alt texts, with the claims of each.

A claim is the context, or a partial description of one object: any of size, texture, colour, shape.
A sentence is true of a scene if each of its claims is a fact of the scene. Training needs this to
find real negatives: "a red circle" is true of many images in a batch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from kaption.workers.demo.scenes import (
    COLORS,
    CONTEXTS,
    SHAPES,
    SIZES,
    TEXTURES,
    Context,
    Scene,
    SceneObject,
    join,
)

FACTS = (len(SIZES) + 1) * (len(TEXTURES) + 1) * (len(COLORS) + 1) * (len(SHAPES) + 1)
ALL_FACTS = FACTS + len(CONTEXTS)

_ALSO = {
    "large": ("big", "huge"),
    "small": ("little", "tiny"),
    "dotted": ("spotted",),
    "striped": ("stripy",),
    "checkered": ("chequered",),
    "glossy": ("shiny",),
    "plain": ("solid",),
    "cross": ("plus sign",),
    "crescent": ("crescent moon",),
    "on green grass": ("on the grass", "on grass"),
    "in the night sky": ("at night", "in a starry sky"),
    "in a cloudy sky": ("in the sky", "among clouds"),
    "on a brick wall": ("on bricks",),
    "on a road": ("on the road",),
    "on a beach": ("at the beach",),
    "on a tiled floor": ("on floor tiles",),
    "under water": ("underwater",),
    "in the desert": ("in a sandy desert",),
    "in a forest": ("in the woods",),
    "in the snow": ("in snow",),
    "on a wooden table": ("on a table",),
}
_BEFORE = (
    "photo of", "a photo of", "picture of", "an image of", "pic of", "my", "look at this",
    "nice", "beautiful", "there is", "here you see", "this picture shows", "stock photo of",
    "a drawing of", "close-up of", "i love", "just",
)  # fmt: skip
_AFTER = (
    "stock photo", "high quality", "for sale", "2021", "by the artist", "free download", "lovely",
    "isolated", "new", "so cute", "photo", "image", "best price", "taken yesterday",
)  # fmt: skip
_JUNK = (
    "img_{n}.jpg", "dsc{n}", "image {n}", "click here to buy now", "untitled", "logo", "banner ad",
    "home page", "best price free shipping", "a man walking a dog", "subscribe to our newsletter",
    "red sale banner", "screenshot {n}", "a bowl of soup with bread", "default title", "photo {n}",
    "two people at a party", "terms and conditions", "a car parked near a house", "share this",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text and the indices of its claims (below ALL_FACTS). A junk text has no claims."""

    text: str
    claims: tuple[int, ...]


def fact(size: str | None, texture: str | None, color: str | None, shape: str | None) -> int:
    """The index of a partial description of an object. 0 is the empty description."""
    index = 0
    parts: tuple[tuple[str | None, tuple[str, ...]], ...] = (
        (size, SIZES),
        (texture, TEXTURES),
        (color, COLORS),
        (shape, SHAPES),
    )
    for value, values in parts:
        index = index * (len(values) + 1) + (0 if value is None else values.index(value) + 1)
    return index


def context_fact(context: Context) -> int:
    """The index of a context. Contexts come after the descriptions of objects."""
    return FACTS + CONTEXTS.index(context)


def facts(scene: Scene) -> set[int]:
    """All facts of a scene: each partial description of each object, and the context."""
    found = {context_fact(scene.context)}
    for obj in scene.objects:
        found.update(_generalisations(obj.size, obj.texture, obj.color, obj.shape))
    return found


def implied(claim: int) -> set[int]:
    """The facts that follow from a claim, and the claim itself."""
    if claim >= FACTS:
        return {claim}
    parts: list[str | None] = []
    for values in (SHAPES, COLORS, TEXTURES, SIZES):
        claim, at = divmod(claim, len(values) + 1)
        parts.append(values[at - 1] if at else None)
    return set(_generalisations(*reversed(parts)))


def _generalisations(*parts: str | None) -> Iterator[int]:
    for kept in product((True, False), repeat=4):
        size, texture, color, shape = (p if k else None for p, k in zip(parts, kept, strict=True))
        index = fact(size, texture, color, shape)
        if index:
            yield index


def say(scene: Scene, rng: random.Random) -> Sentence:
    """One sentence about a scene. Half of them are complete, and half of them are noisy.

    The random draws do not depend on the scene's words. With equal seeds the sentences of a scene
    and of an altered scene therefore differ in the altered attribute only.
    """
    noisy = rng.random() < 0.5
    kind = rng.random()
    draws = [[rng.random() for _ in range(4)] for _ in range(3)]
    if kind < 0.5:
        drop = (0.0, 0.0, 0.0, 0.0)
    elif kind < 0.62:
        drop = (0.0, 1.0, 0.0, 0.0)
    elif kind < 0.74:
        drop = (1.0, 0.0, 1.0, 0.0)
    else:
        drop = (0.5, 0.4, 0.25, 0.0)
    objects = list(scene.objects)
    some, whole, order = rng.random(), rng.random(), rng.random()
    shuffle = rng.random()
    if kind >= 0.74 and some < 0.4:
        objects = objects[int(some / 0.4 * len(objects)) :][:1]
    with_context = whole < (1.0 if kind < 0.5 else 0.4)
    if kind > 0.95:
        objects, with_context = [], True
    claims, phrases = [], []
    article = not noisy or rng.random() < 0.6
    synonyms = noisy and rng.random() < 0.5
    for obj, draw in zip(objects, draws, strict=False):
        phrase, claim = _mention(obj, [d >= p for d, p in zip(draw, drop, strict=True)])
        words = [_other(word, draw[0]) if synonyms else word for word in phrase]
        phrases.append(" ".join(["a", *words] if article else words))
        claims.append(claim)
    if noisy and shuffle < 0.3:
        phrases.reverse()
    text = join(phrases) if phrases else ""
    if with_context:
        claims.append(context_fact(scene.context))
        where = _other(scene.context, draws[0][0]) if synonyms else scene.context
        flip = noisy and order < 0.2 and text
        text = f"{where}, {text}" if flip else f"{text} {where}".strip()
    return Sentence(_with_noise(text, rng) if noisy else text, tuple(claims))


def junk(rng: random.Random) -> Sentence:
    """A text about no scene: a file name, boilerplate or another subject."""
    return Sentence(rng.choice(_JUNK).format(n=rng.randint(1, 9999)), ())


def _mention(obj: SceneObject, kept: list[bool]) -> tuple[list[str], int]:
    values = (obj.size, obj.texture, obj.color, obj.shape)
    parts = [value if keep else None for value, keep in zip(values, kept, strict=True)]
    return [part for part in parts if part is not None], fact(*parts)


def _other(word: str, draw: float) -> str:
    options = (word, *_ALSO.get(word, ()))
    return options[int(draw * len(options))]


def _with_noise(text: str, rng: random.Random) -> str:
    if rng.random() < 0.5:
        text = f"{rng.choice(_BEFORE)} {text}"
    if rng.random() < 0.3:
        text = f"{text}{rng.choice((', ', ' - ', ' | ', ' ', '! '))}{rng.choice(_AFTER)}"
    if rng.random() < 0.15:
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice(("", text[at] * 2)) + text[at + 1 :]
    return text + rng.choice(("", "", "", ".", "!", " #art"))
