"""Agreement: cuts what the candidates of one image do not agree on.

A model that makes a detail up says another one the next time: SelfCheckGPT (Manakul et al., EMNLP
2023) finds hallucinations so. Noun phrases of two captions are matched by their nouns. A detail is
doubted where at least as many other candidates contradict it as state it. Equal captions have one
vote. Texts of people and of rules are never cut, and have no vote.

A captioner may also tell which other words were likely. An attribute is doubted too where one of
those excludes it, such as "large" where it says "small", and a noun where another candidate says
one of them. A low probability alone says little: a model also hesitates between "big" and "large".
This calls no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from kaption.schemas import Caption
from kaption.workers.checks.check import GENERATED
from kaption.workers.stages.select.phrases import (
    ATTRIBUTES,
    NounPhrase,
    noun_phrases,
    without_attribute,
    without_phrase,
)


def agreed(captions: Sequence[Caption], among: Sequence[Caption]) -> list[Caption]:
    """The captions, those of models without the details that others `among` them contradict."""
    voters = {caption.text: None for caption in among if caption.kind in GENERATED}
    return [
        _cut(caption, [noun_phrases(text) for text in voters if text != caption.text])
        if caption.kind in GENERATED
        else caption
        for caption in captions
    ]


def _cut(caption: Caption, others: Sequence[Sequence[NounPhrase]]) -> Caption:
    text, cut = caption.text, list(caption.cut)
    own = noun_phrases(text)
    likely = {doubt.start: frozenset(doubt.rivals) for doubt in caption.doubts}
    matches = [list(_matches(own, other)) for other in others]
    rivals = [
        [theirs for pairs in matches for mine, theirs in pairs if mine == at]
        for at in range(len(own))
    ]
    # From the end, so that the places of earlier words stay.
    for phrase, theirs in zip(reversed(own), reversed(rivals), strict=True):
        for word in reversed(phrase.attributes):
            if _doubted(word[0].lower(), theirs, likely.get(word.start(), frozenset())):
                cut.append(word[0])
                text = without_attribute(text, phrase, word)
    for at in reversed(range(len(own))):
        start = own[at].end - len(own[at].noun)
        if _another(own[at].noun, rivals[at], likely.get(start, frozenset())):
            # A phrase that leaves a list moves those before it.
            phrases = noun_phrases(text)
            rest = without_phrase(text, phrases, at)
            if rest is not None:
                cut.append(text[phrases[at].start : phrases[at].end])
                text = rest
    return (
        caption
        if text == caption.text
        else caption.model_copy(update={"text": text, "cut": tuple(cut), "doubts": ()})
    )


def _another(noun: str, rivals: Sequence[NounPhrase], likely: frozenset[str]) -> bool:
    others = [theirs.noun for theirs in rivals if theirs.noun != noun]
    return bool(others) and (2 * len(others) >= len(rivals) or not likely.isdisjoint(others))


def _doubted(word: str, rivals: Sequence[NounPhrase], likely: frozenset[str]) -> bool:
    kind, group = ATTRIBUTES[word]
    excluding = {other for other, its in ATTRIBUTES.items() if its[0] == kind and its[1] != group}
    said = [each for phrase in rivals if (each := phrase.meanings(kind))]
    against = sum(group not in each for each in said)
    return not likely.isdisjoint(excluding) or (against > 0 and 2 * against >= len(said))


def _matches(
    own: Sequence[NounPhrase], other: Sequence[NounPhrase]
) -> Iterator[tuple[int, NounPhrase]]:
    """The index of a phrase and the one that the other caption has in its place.

    Both have the same noun, or stand alone between such phrases and share an attribute.
    """
    nouns = [phrase.noun for phrase in own], [phrase.noun for phrase in other]
    for _, start, end, first, last in SequenceMatcher(None, *nouns, autojunk=False).get_opcodes():
        if end - start != last - first:
            continue
        for at, theirs in zip(range(start, end), other[first:last], strict=True):
            if _alike(own[at], theirs):
                yield at, theirs


def _alike(one: NounPhrase, other: NounPhrase) -> bool:
    """Whether two phrases may be about one thing: no more than one detail differs."""
    kinds = {ATTRIBUTES[word[0].lower()][0] for word in (*one.attributes, *other.attributes)}
    both = [(one.meanings(kind), other.meanings(kind)) for kind in kinds]
    same = [bool(mine & theirs) for mine, theirs in both if mine and theirs]
    if one.noun == other.noun:
        return same.count(False) <= 1
    # "car" is no other noun than "car parked".
    return any(same) and all(same) and not set(one.noun.split()) & set(other.noun.split())
