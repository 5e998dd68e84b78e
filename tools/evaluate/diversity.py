"""How varied captions are, beside those of a greedy captioner for the same images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from kaption.workers.captioners.transformers import DEMO_FOLDER
from tools.demo_models.measure import captions, letterboxed
from tools.evaluate.figures import Figure, ratio, resampled, share
from tools.evaluate.held_out import Kept

_REFERENCES = 100
"""Other captions that a caption is compared with in self-BLEU. All of them cost n * n."""
_LONGEST = 4
_COMMON = 10
Words = Sequence[str]


def greedy_captions(kept: Sequence[Kept]) -> list[str]:
    """The demo's captioner, asked once for each recaptioned image, without sampling."""
    images = [letterboxed(one.image) for one in kept if one.recaptioned]
    return captions(DEMO_FOLDER, images, "") if images else []


def measure(kept: Sequence[Kept], greedy: Sequence[str]) -> list[Figure]:
    """Figures of the recaptioned pairs: raw alt text, output, and the answers of `greedy`."""
    again = [one for one in kept if one.recaptioned]
    figures: list[Figure] = []
    for what, texts in (
        ("raw alt text", [one.pair.text for one in again]),
        ("output", [one.pair.captions[0].text for one in again]),
        ("greedy captioner", greedy),
    ):
        if not texts:
            continue
        told = [words(text) for text in texts]
        figures += [
            Figure(f"{what}: distinct-2", distinct(told, 2), None, None, len(told)),
            self_bleu(f"{what}: self-BLEU", told),
            repeated(f"{what}: captions equal to another one", texts),
        ]
        figures += phrases(f"{what}: captions with", told)
    return figures


def words(text: str) -> list[str]:
    """The words in lower case."""
    return re.findall(r"\w+", text.lower())


def ngrams(told: Words, length: int) -> Iterator[tuple[str, ...]]:
    """Runs of `length` words."""
    return zip(*(told[start:] for start in range(length)), strict=False)


def distinct(texts: Sequence[Words], length: int) -> float:
    """Different n-grams / all n-grams of all texts (Li et al. 2016). It falls with the sample."""
    found = [gram for told in texts for gram in ngrams(told, length)]
    return len(set(found)) / max(1, len(found))


def self_bleu(name: str, texts: Sequence[Words]) -> Figure:
    """Mean BLEU-4 of each text against others of the sample (Zhu et al. 2018); low is varied."""
    rng = np.random.default_rng(0)
    values = []
    for at, told in enumerate(texts):
        others = [other for other in range(len(texts)) if other != at]
        chosen = rng.permutation(others)[:_REFERENCES]
        values.append(bleu(told, [texts[other] for other in chosen]))
    return resampled(name, lambda drawn: float(drawn.mean()), np.array(values))


def bleu(told: Words, references: Sequence[Words]) -> float:
    """BLEU up to 4-grams, or up to the length of a shorter text (Papineni et al. 2002).

    One is added to the counts above 1-grams, as in Lin and Och 2004: else one text in which no
    4-gram fits has the value 0. The brevity penalty is by the reference whose length is nearest.
    """
    if not told or not references:
        return 0.0
    logs = []
    for length in range(1, min(_LONGEST, len(told)) + 1):
        own = Counter(ngrams(told, length))
        most: Counter[tuple[str, ...]] = Counter()
        for reference in references:
            most |= Counter(ngrams(reference, length))
        added = int(length > 1)
        hits, whole = sum((own & most).values()) + added, sum(own.values()) + added
        if not hits:
            return 0.0
        logs.append(np.log(hits / whole))
    nearest = min((abs(len(each) - len(told)), len(each)) for each in references)[1]
    brevity = min(1.0, float(np.exp(1 - nearest / len(told))))
    return brevity * float(np.exp(np.mean(logs)))


def phrases(what: str, texts: Sequence[Words], count: int = 3, length: int = 3) -> list[Figure]:
    """The most frequent phrases of `length` words, and the share of the texts that hold each.

    First comes the share of the most frequent ones among all phrases.
    """
    having = Counter(gram for told in texts for gram in set(ngrams(told, length)))
    # Equal counts in order of the words, so that two runs print the same.
    ranked = sorted(having.items(), key=lambda item: (-item[1], item[0]))
    most, common = ranked[:count], {gram for gram, _ in ranked[:_COMMON]}
    parts = [sum(gram in common for gram in ngrams(told, length)) for told in texts]
    wholes = [max(0, len(told) - length + 1) for told in texts]
    first = [
        ratio(
            f"{what.split(':')[0]}: share of the {_COMMON} most frequent phrases",
            [float(part) for part in parts],
            [float(whole) for whole in wholes],
        )
    ]
    return first + [
        share(f'{what} "{" ".join(gram)}"', [gram in set(ngrams(told, length)) for told in texts])
        for gram, _ in most
    ]


def repeated(name: str, texts: Sequence[str]) -> Figure:
    """The share of texts that another image has as well."""
    count = Counter(texts)
    return share(name, [count[text] > 1 for text in texts])
