"""Alt texts with a person, a place and a number in them, and the captions that fusion should make.

No image shows whether such a name is right, so a caption can only keep it. It should not keep
those of an alt text that is about another image.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from kaption.workers.demo.scenes import Scene, describe, join, wrong
from tools.demo_models.alter import alter
from tools.evaluate.mentions import compare

PEOPLE = (
    *("Amelia", "Benedikt", "Chidi", "Dolores", "Emre", "Fatima", "Giulia", "Hugo", "Ingrid"),
    *("Joaquin", "Katya", "Leila", "Magnus", "Noor", "Oksana", "Priya", "Quentin", "Rosa"),
    *("Sven", "Tamara", "Ursula", "Viktor", "Wanjiru", "Ximena", "Yusuf", "Zuzana"),
)
PLACES = (
    *("Athens", "Bogota", "Cairo", "Dublin", "Edinburgh", "Fresno", "Geneva", "Hanoi", "Ibadan"),
    *("Jakarta", "Kyoto", "Lisbon", "Mumbai", "Nairobi", "Oslo", "Porto", "Quito", "Riga"),
    *("Sofia", "Tbilisi", "Utrecht", "Valencia", "Warsaw", "Xalapa", "Yerevan", "Zagreb"),
)
"""Names of the measured alt texts. Training makes names of syllables and leaves these out."""
_ONSETS = (*"bcdfghjklmnprstvwyz", "br", "ch", "gr", "kr", "st", "th", "tr", "")
_VOWELS = (*"aeiou", "ia", "ei")
_CODAS = ("", "", "", *"nrslmkt")


class AltTextKind(StrEnum):
    """How much of an alt text is true of its image."""

    RIGHT = "right"
    DETAIL = "one wrong detail"
    OTHER = "of another image"


@dataclass(frozen=True, slots=True)
class AltText:
    """An alt text about a scene. Its names are what no image shows."""

    kind: AltTextKind
    text: str
    person: str | None
    place: str | None
    number: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """Those that it has."""
        return tuple(name for name in (self.person, self.place, self.number) if name)


def alt_text(scene: Scene, rng: random.Random, *, measured: bool) -> AltText:
    """An alt text with one to three names. `measured` ones are never those of training."""
    kind = rng.choices(list(AltTextKind), (2, 1, 1))[0]
    told = {AltTextKind.RIGHT: lambda: scene, AltTextKind.DETAIL: lambda: alter(scene, rng)}.get(
        kind, lambda: wrong(scene, rng)
    )()
    text = describe(told, rng.choice(("full", "appearance")))
    if told.context not in text and (rng.random() < 0.6 or told.context != scene.context):
        text = f"{text} {told.context}"
    if kind is AltTextKind.DETAIL and not _false(text, scene):
        kind = AltTextKind.RIGHT  # the text does not name the detail
    some = rng.sample(("person", "place", "number"), rng.randint(1, 3))
    person = _name(rng, PEOPLE if measured else ()) if "person" in some else None
    place = _name(rng, PLACES if measured else ()) if "place" in some else None
    number = _number(rng) if "number" in some else None
    if person:
        text = rng.choice(("{0}, photo by {1}", "{1}: {0}", "{0} by {1}")).format(text, person)
    if place:
        text = rng.choice(("{0}, {1}", "{0} in {1}", "{1}, {0}")).format(text, place)
    if number:
        text = rng.choice(("{0}, {1}", "{0} {1}", "{1}: {0}")).format(text, number)
    return AltText(kind, text, person, place, number)


def _false(text: str, scene: Scene) -> bool:
    facts = compare(text, scene)
    return facts.stated != facts.right


def fused(scene: Scene, alt: AltText) -> str:
    """What a caption should say: the image, then the names of an alt text that is about it."""
    if alt.kind is AltTextKind.OTHER:
        return describe(scene)
    by = f"by {alt.person}" if alt.person else None
    at = f"in {alt.place}" if alt.place else None
    return ", ".join(part for part in (describe(scene), by, at, alt.number) if part)


def short(scene: Scene) -> str:
    """One sentence without sizes and textures."""
    return f"{join(f'a {one.color} {one.shape}' for one in scene.objects)} {scene.context}"


def _name(rng: random.Random, known: Sequence[str]) -> str:
    if known:
        return rng.choice(known)
    while True:
        parts = rng.choices(_ONSETS, k=3), rng.choices(_VOWELS, k=3), rng.choices(_CODAS, k=3)
        name = "".join(map("".join, list(zip(*parts, strict=True))[: rng.randint(1, 3)]))
        if len(name) > 2 and name.title() not in (*PEOPLE, *PLACES):
            return name.title()


def _number(rng: random.Random) -> str:
    return rng.choice((f"{rng.randint(1900, 2099)}", f"no. {rng.randint(1, 999)}"))
