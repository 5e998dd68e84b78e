"""Words and facts of captions: how many are stated, how many of those are true of the scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kaption.schemas import CaptionKind
from tools.evaluate.figures import Figure, mean, ratio, share
from tools.evaluate.held_out import Kept
from tools.evaluate.mentions import KINDS, Facts, compare

Text = Callable[[Kept], str]


def measure(kept: Sequence[Kept]) -> list[Figure]:
    """Figures of the raw alt texts, of the output and of its recaptioned pairs."""
    again = [one for one in kept if one.recaptioned]
    figures = [
        *_about("raw alt text", kept, lambda one: one.pair.text),
        *_about("output", kept, lambda one: one.pair.captions[0].text),
    ]
    if again:
        figures += _about("recaptioned", again, lambda one: one.pair.captions[0].text)
    for what, some in (
        ("output", kept),
        ("fusion", [k for k in kept if k.pair.captions[0].kind is CaptionKind.FUSED]),
    ):
        parts, wholes = _kept_facts(some)
        if any(wholes):
            figures.append(ratio(f"{what}: true facts of the alt text kept", parts, wholes))
    return figures


def by_kind(what: str, facts: Sequence[Facts]) -> list[Figure]:
    """Precision and recall of each kind of fact and of all kinds together."""
    found = []
    for name, kinds in (("all kinds", KINDS), *((kind, (kind,)) for kind in KINDS)):

        def total(side: str, kinds: Sequence[str] = kinds) -> list[float]:
            return [float(sum(getattr(one, side)[kind] for kind in kinds)) for one in facts]

        if any(total("stated")):
            found.append(ratio(f"{what}: precision, {name}", total("right"), total("stated")))
        found.append(ratio(f"{what}: recall, {name}", total("found"), total("shown")))
    return found


def _about(what: str, kept: Sequence[Kept], text: Text) -> list[Figure]:
    facts = [compare(text(one), one.truth.scene) for one in kept]
    false = [float(_stated(one) - sum(one.right.values())) for one in facts]
    return [
        mean(f"{what}: words", [float(len(text(one).split())) for one in kept]),
        mean(f"{what}: facts stated per caption", [float(_stated(one)) for one in facts]),
        mean(f"{what}: false (hallucinated) facts per caption", false),
        share(f"{what}: captions without a false fact", [value == 0 for value in false]),
        *by_kind(what, facts),
    ]


def _stated(facts: Facts) -> int:
    return sum(facts.stated.values())


def _kept_facts(kept: Sequence[Kept]) -> tuple[list[float], list[float]]:
    """For each caption the true facts of the alt text that it keeps, and all of them, by kind."""
    parts, wholes = [], []
    for one in kept:
        before = compare(one.pair.clean_text, one.truth.scene).found
        after = compare(one.pair.captions[0].text, one.truth.scene).found
        wholes.append(float(sum(before.values())))
        parts.append(float(sum((before & after).values())))
    return parts, wholes
