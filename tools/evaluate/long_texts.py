"""Texts of a chosen length about a scene, whose facts lie anywhere in the text."""

from __future__ import annotations

import random
from collections.abc import Callable

from kaption.workers.demo.scenes import Aspect, Scene, describe_object

_FILLERS = (
    "this is a photo from our last trip",
    "click to enlarge",
    "as seen on our website",
    "we hope that you like it as much as we do",
    "more photos are in the album below",
    "the weather was good that day",
    "please write to us before you use it",
    "it was taken in the afternoon",
    "have a look at the other pages too",
    "thanks to all who came",
    "the original has a higher resolution",
    "there is more to come next week",
)
_LEADS = ("there is", "you can see", "this shows", "look at", "here is", "notice")
_ASPECTS: tuple[Aspect, ...] = ("full", "appearance", "texture")


def long_text(scene: Scene, tokens: int, seed: int, count_tokens: Callable[[str], int]) -> str:
    """A text of about `tokens` tokens that names each object, and the context, at a random place.

    The draws depend on the seed alone: with equal seeds and equally many objects, two scenes'
    texts differ in the words that differ between the scenes, and not in order or filler.
    """
    rng = random.Random(seed)  # noqa: S311 (test data, no secret)
    told = [f"{rng.choice(_LEADS)} {describe_object(obj)}" for obj in scene.objects]
    told.append(f"everything is {scene.context}")
    rng.shuffle(told)
    fillers = list(_FILLERS)
    rng.shuffle(fillers)
    at = 0
    while count_tokens(_joined(told)) < tokens:
        told.insert(rng.randint(0, len(told)), fillers[at % len(fillers)])
        at += 1
    return _joined(told)


def _joined(clauses: list[str]) -> str:
    """Four clauses are a sentence, as on pages: so windows may end at a comma too."""
    ends = [". " if at % 4 == 3 else ", " for at in range(len(clauses))]
    return (
        "".join(clause + end for clause, end in zip(clauses, ends, strict=True)).strip(" ,.") + "."
    )
