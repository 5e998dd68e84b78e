"""Which formula chooses best among the same candidates, and which margin an alt text needs."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from kaption.schemas import Caption, CaptionKind, Doubt
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.captioners.transformers import build
from kaption.workers.demo.scenes import describe, describe_object, join, random_scene
from kaption.workers.models.scorer import Scorer
from kaption.workers.models.windows import score_texts
from kaption.workers.plugins import load_checks, load_scorer
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.settings import load_settings
from kaption.workers.stages.select.agreement import agreed
from kaption.workers.stages.select.grounding import CLEARLY
from kaption.workers.stages.select.phrases import shorter
from kaption.workers.stages.select.specificity import mean_of_nearest
from kaption.workers.stores.bank import Embedded
from tools.demo_models.measure import ClipUnderTest
from tools.evaluate import judge
from tools.evaluate.figures import Figure, mean, ratio, share
from tools.evaluate.held_out import Kept
from tools.evaluate.mentions import Facts, compare
from tools.evaluate.retrieval import ranks

Rows = NDArray[np.float32]
BATCH = 16
ORIGINALS = 400
"""Accepted alt texts that compete with candidates."""
MARGINS = (0.0, 0.01, 0.02, 0.05, 0.1)


@dataclass(frozen=True, slots=True)
class Candidates:
    """The texts that may be kept for one image."""

    at: int
    """Index of the image."""
    texts: Sequence[str]
    cosines: NDArray[np.float64]
    """(n,): with the own image."""
    vectors: Rows
    """(n, d)."""
    facts: Sequence[Facts]
    doubts: Mapping[str, tuple[Doubt, ...]] = field(default_factory=dict)
    """Words that the captioner was not sure of, by text."""


Formula = Callable[[Candidates, NDArray[np.float64]], NDArray[np.float64]]
"""Takes the candidates and their cosines with other images, (n, m), highest first."""


def _less_mean(count: int | None, weight: float = 1.0) -> Formula:
    return lambda own, others: weight * own.cosines - others[:, :count].mean(axis=1)


def _querybank(beta: float) -> Formula:
    return lambda own, others: own.cosines - logsumexp(beta * others, axis=1) / beta


FORMULAS: Mapping[str, Formula] = {
    "cosine": lambda own, _: own.cosines,
    "longest": lambda own, _: np.array([len(text) for text in own.texts], np.float64),
    "cosine less the mean": _less_mean(None),
    "cosine less the mean of 1": _less_mean(1),
    "cosine less the mean of 10 (as shipped)": _less_mean(10),
    "cosine less the mean of 100": _less_mean(100),
    "CSLS, 2 cosine less the mean of 10": _less_mean(10, 2.0),
    "QB-Norm, beta 20": _querybank(20.0),
    "QB-Norm, beta 100": _querybank(100.0),
    "most true facts": lambda own, _: np.array([_true(f) - 3 * _false(f) for f in own.facts]),
}
"""The last one knows the truth: it shows what the candidates allow."""
BANKS = (3, 15, 63, 255, 1023)


def measure(kept: Sequence[Kept], folder: Path | None = None) -> list[Figure]:
    """Figures of each formula, and of the shipped one for banks of several sizes, then of margins.

    The candidates are those that the demo's captioner writes for the recaptioned pairs. The bank
    holds the images of all kept pairs. Recall@1 is by the judge, in `folder` or our own.
    """
    scorer = load_scorer(load_settings(None, "demo").clip)
    images = scorer.encode_images([scorer.preprocess(one.image) for one in kept])
    bank = Embedded([one.pair.image.blob.sha256 for one in kept], images)
    again = [at for at, one in enumerate(kept) if one.recaptioned]
    found = list(_candidates(kept, again, scorer, images))
    if not found:
        return []
    clip = ClipUnderTest(folder or judge.trained())
    shown = clip.images([one.image for one in kept])
    others = {own.at: _others(own, bank) for own in found}
    figures = []
    for name, formula in FORMULAS.items():
        picks = [int(formula(own, others[own.at]).argmax()) for own in found]
        figures += _about(name, found, picks, clip, shown)
    for size in BANKS:
        if size < len(bank.sha256s):
            picks = [_shipped(own, bank, size) for own in found]
            figures += _about(f"as shipped, bank of {size}", found, picks, clip, shown)
    figures += _cuts(found, kept, bank, clip, shown)
    best = [describe(kept[own.at].truth.scene) for own in found]
    figures.append(_recall("full description (the judge's best)", found, best, clip, shown))
    return [*figures, *_grounding(kept, again, scorer, bank), *_margins(kept, scorer, bank)]


def _candidates(
    kept: Sequence[Kept], chosen: Sequence[int], scorer: Scorer, images: Rows, *, own: bool = False
) -> Iterator[Candidates]:
    """What select may keep: it passes the checks and the scorer's threshold.

    With `own` the kept caption is the first of them, whether a candidate equals it or not.
    """
    captioner = build(load_settings(None, "demo").recaption)
    checks = load_checks(SelectPolicy())
    for start in range(0, len(chosen), BATCH):
        some = chosen[start : start + BATCH]
        contexts = [CaptionContext(kept[at].pair.clean_text) for at in some]
        answers = captioner.caption([kept[at].image for at in some], contexts)
        for at, captions in zip(some, answers, strict=True):
            texts = [*([kept[at].caption] if own else []), *(c.text for c in captions)]
            texts = list(dict.fromkeys(texts))
            scores = score_texts(scorer, texts, np.repeat(images[at : at + 1], len(texts), 0))
            passed = {c.text for c in captions if all(check.check(c).passed for check in checks)}
            fits = [
                n
                for n, score in enumerate(scores)
                if (own and n == 0)
                or (texts[n] in passed and score.score >= (scorer.recommended_score or 0.0))
            ]
            if fits:
                yield Candidates(
                    at,
                    [texts[n] for n in fits],
                    np.array([scores[n].score for n in fits]),
                    np.stack([scores[n].vector for n in fits]),
                    [compare(texts[n], kept[at].truth.scene) for n in fits],
                    {c.text: c.doubts for c in captions},
                )


def _cuts(
    found: Sequence[Candidates],
    kept: Sequence[Kept],
    bank: Embedded,
    clip: ClipUnderTest,
    shown: Rows,
) -> list[Figure]:
    """Figures of the shipped formula's picks without details that others contradict, then also
    without those that the captioner doubted, as shipped.
    """
    figures = []
    for name, doubting in (("disputed details cut", False), ("also doubtful ones", True)):
        texts = []
        for own in found:
            captions = [
                Caption(
                    text=text,
                    kind=CaptionKind.VLM,
                    doubts=own.doubts.get(text, ()) if doubting else (),
                )
                for text in own.texts
            ]
            best = captions[int(_specificity(own, bank, bank).argmax())]
            texts += [each.text for each in agreed([best], captions)]
        facts = [compare(t, kept[own.at].truth.scene) for t, own in zip(texts, found, strict=True)]
        figures += _told(f"as shipped, {name}", found, texts, facts, clip, shown)
    return figures


def _measured(
    at: int, texts: Sequence[str], one: Kept, scorer: Scorer, bank: Embedded
) -> Candidates:
    scores = score_texts(scorer, texts, np.repeat(bank.rows[at : at + 1], len(texts), 0))
    return Candidates(
        at,
        texts,
        np.array([score.score for score in scores]),
        np.stack([score.vector for score in scores]),
        [compare(text, one.truth.scene) for text in texts],
    )


def _grounding(
    kept: Sequence[Kept], chosen: Sequence[int], scorer: Scorer, bank: Embedded
) -> list[Figure]:
    """How often grounding would cut a phrase of a true description, and one about nothing there."""
    rng = random.Random(len(chosen))  # noqa: S311 (no secret)
    cut: dict[str, list[bool]] = {"true phrase": [], "false object": [], "false sentence": []}
    for at in chosen:
        scene = kept[at].truth.scene
        shapes = {obj.shape for obj in scene.objects}
        extra = next(
            describe_object(obj)
            for obj in iter(lambda: random_scene(rng).objects[0], None)
            if obj.shape not in shapes
        )
        named = [describe_object(obj) for obj in scene.objects]
        told = describe(scene)
        sentence = f"There is {extra}."
        for name, text, wanted in (
            ("true phrase", told, None),
            ("false object", f"{join([*named, extra])} {scene.context}", extra),
            ("false sentence", f"{told[0].upper()}{told[1:]}. {sentence}", sentence),
        ):
            tries = [rest for said, rest in shorter(text) if wanted in (None, said)]
            found = _measured(at, [text, *tries], kept[at], scorer, bank)
            whole, *less = _specificity(found, bank, bank)
            cut[name] += [bool(each - whole >= CLEARLY) for each in less]
    return [share(f"grounding: {name} cut", values) for name, values in cut.items()]


def _others(own: Candidates, bank: Embedded) -> NDArray[np.float64]:
    """The cosines of the candidates with all other images, highest first."""
    cosines = np.delete(own.vectors @ bank.rows.T, own.at, axis=1).astype(np.float64)
    cosines.sort(axis=1)
    return cosines[:, ::-1]


def _specificity(own: Candidates, bank: Embedded, others: Embedded) -> NDArray[np.float64]:
    """By the stage's own function."""
    count = len(own.texts)
    image = Embedded([bank.sha256s[own.at]] * count, bank.rows[[own.at] * count])
    means = mean_of_nearest(own.vectors, image, others, SelectPolicy().nearest_images)
    return own.cosines - np.array([value or 0.0 for value in means], np.float64)


def _shipped(own: Candidates, bank: Embedded, size: int) -> int:
    """The pick with a bank of `size` other images, drawn anew for each pair."""
    drawn = np.random.default_rng(own.at).permutation(len(bank.sha256s))
    drawn = drawn[drawn != own.at][:size]
    others = Embedded([bank.sha256s[at] for at in drawn], bank.rows[drawn])
    return int(_specificity(own, bank, others).argmax())


def _about(
    name: str, found: Sequence[Candidates], picks: Sequence[int], clip: ClipUnderTest, shown: Rows
) -> list[Figure]:
    texts = [own.texts[pick] for own, pick in zip(found, picks, strict=True)]
    facts = [own.facts[pick] for own, pick in zip(found, picks, strict=True)]
    return _told(name, found, texts, facts, clip, shown)


def _told(
    name: str,
    found: Sequence[Candidates],
    texts: Sequence[str],
    facts: Sequence[Facts],
    clip: ClipUnderTest,
    shown: Rows,
) -> list[Figure]:
    true = [float(_true(each)) for each in facts]
    return [
        _recall(name, found, texts, clip, shown),
        ratio(f"{name}: precision", true, [float(sum(each.stated.values())) for each in facts]),
        ratio(
            f"{name}: recall",
            [float(sum(each.found.values())) for each in facts],
            [float(sum(each.shown.values())) for each in facts],
        ),
        share(f"{name}: captions without a false fact", [not _false(each) for each in facts]),
    ]


def _recall(
    name: str, found: Sequence[Candidates], texts: Sequence[str], clip: ClipUnderTest, shown: Rows
) -> Figure:
    own = np.array([each.at for each in found])
    return share(f"{name}: Recall@1", ranks(clip.texts(texts), shown, own) < 1)


def _margins(kept: Sequence[Kept], scorer: Scorer, bank: Embedded) -> list[Figure]:
    """How often the best candidate replaces an accepted alt text, and what that gains."""
    good = [at for at, one in enumerate(kept) if not one.recaptioned][:ORIGINALS]
    rivals = list(_candidates(kept, good, scorer, bank.rows, own=True))
    gains = []  # how much more specific the best candidate is, and how many more true facts it has
    for own in rivals:
        values = _specificity(own, bank, bank)
        best = int(values[1:].argmax()) + 1 if len(values) > 1 else 0
        gains.append((values[best] - values[0], _true(own.facts[best]) - _true(own.facts[0])))
    figures = []
    for margin in MARGINS:
        name = f"margin {margin}"
        beaten = [bool(ahead and ahead >= margin) for ahead, _ in gains]
        figures.append(share(f"{name}: alt texts replaced", beaten))
        replaced = [gain for (_, gain), one in zip(gains, beaten, strict=True) if one]
        if replaced:
            figures.append(mean(f"{name}: true facts gained by each", list(map(float, replaced))))
            figures.append(share(f"{name}: lost true facts", [fewer < 0 for fewer in replaced]))
    return figures


def _true(facts: Facts) -> int:
    return sum(facts.right.values())


def _false(facts: Facts) -> int:
    return sum(facts.stated.values()) - _true(facts)
