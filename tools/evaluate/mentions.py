"""Reads the facts that a text states about a scene, and compares them with the scene.

The reading is by words, so it understands every text that names objects as "attributes, then
shape": all captions of the demo's models and all alt texts of its crawl.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations

from kaption.workers.demo.scenes import COLORS, CONTEXTS, SHAPES, SIZES, TEXTURES, Scene

KINDS = ("shape", "color", "texture", "size", "context", "count")
_WORDS = {
    word: kind
    for kind, words in (
        ("shape", SHAPES),
        ("color", COLORS),
        ("texture", TEXTURES),
        ("size", SIZES),
    )
    for word in words
}
_MOST_THINGS = 7
"""A text that names more objects is a loop; matching all orders of them would take too long."""
Thing = dict[str, str]
"""What a text says about one object: values by "shape", "color", "texture" and "size"."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts by kind: how many a text states, how many of those are true, how many there are."""

    stated: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    shown: Counter[str] = field(default_factory=Counter)
    """Facts of the scene."""
    found: Counter[str] = field(default_factory=Counter)
    """Facts of the scene that the text states."""


def compare(text: str, scene: Scene) -> Facts:
    """The facts of a text. Each thing it names is matched to one object, as well as possible.

    The attributes of a thing that no object is left for are all false. A count is stated by a text
    that names objects: it is right if there are no more of them than in the scene, and it is found
    if there are just as many.
    """
    places, told = read(text)
    truth = [_thing(obj) for obj in scene.objects]
    facts = Facts()
    facts.stated["context"], facts.right["context"] = len(places), places.count(scene.context)
    facts.shown["context"], facts.found["context"] = 1, int(scene.context in places)
    for thing in truth:
        facts.shown.update(list(thing))
    for thing in told:
        facts.stated.update(list(thing))
    for thing, shown in _matched(told, truth):
        same = [kind for kind, value in thing.items() if shown[kind] == value]
        facts.right.update(same)
        facts.found.update(same)
    if told:
        facts.stated["count"], facts.right["count"] = 1, int(len(told) <= len(truth))
    facts.shown["count"], facts.found["count"] = 1, int(len(told) == len(truth))
    return facts


def read(text: str) -> tuple[list[str], list[Thing]]:
    """(contexts, things) that a text names. Mentions that can be one thing are one thing."""
    text = text.lower()
    places: list[str] = [place for place in CONTEXTS if place in text]
    for place in places:
        text = text.replace(place, " ")  # "on green grass" does not name a green object
    things: list[Thing] = []
    for mention in _mentions(text):
        for thing in things:
            # A mention without its shape, such as "it is red", adds to any thing it fits.
            if all(thing.get(kind, value) == value for kind, value in mention.items()) and (
                "shape" not in mention or mention["shape"] == thing.get("shape")
            ):
                thing.update(mention)
                break
        else:
            things.append(mention)
    return places, things[:_MOST_THINGS]


def _mentions(text: str) -> Iterator[Thing]:
    """Attribute words up to a shape are one mention, and so are those at the end without one."""
    mention: Thing = {}
    for token in re.findall(r"[a-z]+", text):
        singular = (token, token.removesuffix("s"), token.removesuffix("es"))
        word = next((word for word in singular if word in _WORDS), None)
        if word is None:
            continue
        kind = _WORDS[word]
        if kind in mention:
            yield mention
            mention = {}
        mention[kind] = word
        if kind == "shape":
            yield mention
            mention = {}
    if mention:
        yield mention


def _thing(obj: object) -> Thing:
    return {kind: getattr(obj, kind) for kind in ("shape", "color", "texture", "size")}


def _matched(told: Sequence[Thing], truth: Sequence[Thing]) -> list[tuple[Thing, Thing]]:
    """Pairs of a told thing and an object that share the most values, each in one pair at most."""
    blanks: list[Thing] = [{}] * max(0, len(truth) - len(told))
    padded = [*told, *blanks]

    def hits(order: tuple[Thing, ...]) -> int:
        return sum(
            shown[kind] == value
            for thing, shown in zip(order, truth, strict=True)
            for kind, value in thing.items()
        )

    best = max(permutations(padded, len(truth)), key=hits)
    return list(zip(best, truth, strict=True))
