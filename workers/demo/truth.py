"""The truth about a rendered crawl, and the judgement of a run by it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from kaption.schemas import CaptionKind, CleanPair, DeadLetter, Reason, RejectedPair
from kaption.workers.demo.scenes import COLORS, CONTEXTS, SHAPES, TEXTURES, Scene

Terminal = CleanPair | RejectedPair | DeadLetter
_OF_COPIES = frozenset({Reason.DUPLICATE, Reason.NEAR_DUPLICATE})


class Noise(StrEnum):
    """The noise of a pair. A pair has exactly one kind, so that each kind can be counted."""

    _value_: str
    share: int
    """How many of 103 pairs have this kind."""
    due: Reason | None
    """The one right reason to reject such a pair. None: it must be kept, unless it is a copy."""

    def __new__(cls, name: str, share: int, due: Reason | None = None) -> Self:  # noqa: D102  # an enum's members
        kind = str.__new__(cls, name)
        kind._value_, kind.share, kind.due = name, share, due
        return kind

    RIGHT = "right", 18
    WRONG = "wrong alt text", 16
    SLANG = "slang and typos", 8
    MARKUP = "markup, mojibake", 8
    FILE_NAME = "file name", 6
    BOILERPLATE = "boilerplate", 5
    LONG = "long text", 5
    EXACT = "exact duplicate", 5
    NEAR = "near duplicate", 7
    CMYK = "CMYK", 3
    ROTATED = "EXIF rotated", 3
    FORMAT = "palette, alpha, WebP, GIF", 3
    TRUNCATED = "truncated", 3, Reason.TRUNCATED
    NOT_AN_IMAGE = "not an image", 2, Reason.NOT_AN_IMAGE
    TINY = "tiny", 2, Reason.TOO_SMALL
    EXTREME = "extreme ratio", 2, Reason.EXTREME_RATIO
    SINGLE_COLOUR = "single colour", 1, Reason.SINGLE_COLOUR
    MISSING = "404", 2, Reason.FETCH_STATUS
    SLOW = "slow server", 2
    SILENT = "silent server", 1, Reason.FETCH_TIMEOUT
    OPTED_OUT = "opted out", 1, Reason.OPTED_OUT


COPIES = frozenset({Noise.EXACT, Noise.NEAR})
"""Kinds whose image is that of an earlier pair. The pipeline must keep exactly one of the two."""
RECAPTIONED = frozenset({Noise.WRONG, Noise.FILE_NAME})
"""Kinds whose alt text must not be kept as the best caption."""


@dataclass(frozen=True, slots=True)
class Truth:
    """The truth about one pair."""

    pair_id: str
    kind: Noise
    scene: Scene
    """The scene that the image shows."""
    alt_text: str
    clean_text: str | None = None
    """The text that cleaning must make of `alt_text`. None: any text."""
    group: str | None = None
    """An image and its copy share a group. Exactly one of them must be kept."""


@dataclass
class Judged:
    """Counts of one kind."""

    pairs: int = 0
    right: int = 0
    mistakes: list[str] = field(default_factory=list)
    """For each wrong pair its id and what happened to it."""


@dataclass
class Judgement:
    """How well a run did on a crawl."""

    kinds: dict[Noise, Judged]
    kept: int = 0
    agreed_before: int = 0
    """Kept pairs whose alt text was true of the image."""
    agreed_after: int = 0
    """Kept pairs whose best caption is true of the image."""

    @property
    def pairs(self) -> int:
        """All pairs of the crawl."""
        return sum(judged.pairs for judged in self.kinds.values())

    @property
    def right(self) -> int:
        """Pairs with the right outcome."""
        return sum(judged.right for judged in self.kinds.values())


def judge(truths: Sequence[Truth], outcomes: Mapping[str, Terminal]) -> Judgement:
    """Compare the outcomes, by pair_id, with the truth. A missing outcome is a mistake."""
    groups: dict[str, list[str]] = {}
    for truth in truths:
        if truth.group is not None:
            groups.setdefault(truth.group, []).append(truth.pair_id)
    judgement = Judgement({kind: Judged() for kind in Noise if any(t.kind is kind for t in truths)})
    for truth in truths:
        outcome = outcomes.get(truth.pair_id)
        fellows = [
            outcomes.get(other)
            for other in groups.get(truth.group or "", ())
            if other != truth.pair_id
        ]
        mistake = _mistake(truth, outcome, fellows)
        judged = judgement.kinds[truth.kind]
        judged.pairs += 1
        judged.right += mistake is None
        if mistake is not None:
            judged.mistakes.append(f"{truth.pair_id}: {mistake}")
        if isinstance(outcome, CleanPair):
            judgement.kept += 1
            judgement.agreed_before += agrees(truth.alt_text, truth.scene)
            judgement.agreed_after += agrees(outcome.captions[0].text, truth.scene)
    return judgement


def _mistake(
    truth: Truth, outcome: Terminal | None, fellows: Sequence[Terminal | None]
) -> str | None:
    """What is wrong with an outcome, or None if it is right."""
    if outcome is None:
        return "no outcome"
    if isinstance(outcome, DeadLetter):
        return f"dead in {outcome.stage}: {outcome.error}"
    if fellows and _is_copy(outcome):
        return "all copies were rejected" if all(map(_is_copy, fellows)) else None
    if truth.kind in COPIES and not any(map(_is_copy, fellows)):
        return "kept beside its copy"
    due = truth.kind.due
    if isinstance(outcome, RejectedPair):
        return None if outcome.reason is due else f"rejected: {outcome.reason} {outcome.detail}"
    if due is not None:
        return f"kept, not rejected as {due}"
    if truth.clean_text is not None and outcome.clean_text != truth.clean_text:
        return f"cleaned to {outcome.clean_text!r}, not {truth.clean_text!r}"
    if truth.kind in RECAPTIONED and outcome.captions[0].kind is CaptionKind.ORIGINAL:
        return f"kept its alt text {outcome.captions[0].text!r}"
    return None


def _is_copy(outcome: Terminal | None) -> bool:
    return isinstance(outcome, RejectedPair) and outcome.reason in _OF_COPIES


def agrees(text: str, scene: Scene) -> bool:
    """Whether a text names shapes, colours, textures or the place, and only true ones.

    The attributes are compared as sets over the whole scene. Which object has which attribute is
    not checked.
    """
    text = text.lower()
    places = set(_mentioned(text, CONTEXTS))
    for place in places:
        text = text.replace(place, " ")  # "on green grass" does not name a green object
    said: list[tuple[set[str], set[str]]] = [
        (places, {scene.context}),
        (set(_mentioned(text, SHAPES)), {thing.shape for thing in scene.objects}),
        (set(_mentioned(text, COLORS)), {thing.color for thing in scene.objects}),
        (set(_mentioned(text, TEXTURES)), {thing.texture for thing in scene.objects}),
    ]
    return any(named for named, _ in said) and all(named <= true for named, true in said)


def _mentioned(text: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if re.search(rf"\b{word}(?:e?s)?\b", text)]
