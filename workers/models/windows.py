"""Texts longer than a model's context: windows at clause boundaries instead of cutting the end off.

Cutting at the context is what metrics usually do, or they fail (torchmetrics issue 2883); either
way one token too many changes everything. Here a text one token past the limit has a second window
that counts for the one token it adds, so it scores like its shorter self.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from kaption.workers.models.scorer import Scorer
from kaption.workers.text.clauses import cut, split_clauses

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_OVERLAP_CLAUSES = 1
"""Each window repeats this many clauses of the one before, as far as they fit: a clause alone often
lacks its subject."""

CountTokens = Callable[[str], int]
"""Tokens of a text, begin and end marks included."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a text that fits the model."""

    text: str
    weight: float
    """Tokens that no earlier window has; at least 1."""


@dataclass(frozen=True, slots=True)
class TextScore:
    """The alignment of one text with one image: cosines."""

    score: float
    window_scores: tuple[float, ...]


def score_texts(
    scorer: Scorer,
    texts: Sequence[str],
    images: NDArray[np.float32],
) -> list[TextScore]:
    """Score `texts[i]` against the unit row `images[i]`; no text may be blank.

    The score is the mean of the windows' cosines, each weighted by the tokens that its window adds
    to the earlier ones. Raises OutOfMemory.
    """
    if not texts:
        return []
    parts = [
        split_windows(text, scorer.count_tokens, scorer.context_length, _OVERLAP_CLAUSES)
        for text in texts
    ]
    flat = [window.text for windows in parts for window in windows]
    vectors = scorer.encode_texts(flat)
    scored = []
    start = 0
    for windows, image in zip(parts, images, strict=True):
        cosines = [float(cosine) for cosine in vectors[start : start + len(windows)] @ image]
        start += len(windows)
        scored.append(TextScore(_mean(cosines, windows), tuple(cosines)))
    return scored


def split_windows(
    text: str, count_tokens: CountTokens, max_tokens: int, overlap: int
) -> list[Window]:
    """The text itself where it fits, else windows that together cover it.

    Each window after the first begins with up to `overlap` clauses of the one before, as far as
    they fit. A clause longer than the context is taken word by word, a word by characters.
    """
    if count_tokens(text) <= max_tokens:
        return [Window(text.strip(), 1.0)]
    pieces = list(_pieces(text, count_tokens, max_tokens))
    marks = count_tokens("")

    def tokens(start: int, end: int) -> int:
        return count_tokens("".join(pieces[start:end]))

    def fits(start: int, end: int) -> bool:
        return tokens(start, end) <= max_tokens

    windows = []
    done = 0
    while done < len(pieces):
        end = _furthest(done + 1, len(pieces), partial(fits, done))
        start = done
        while start > max(0, done - overlap) and fits(start - 1, end):
            start -= 1
        window = "".join(pieces[start:end]).strip()
        if window:
            windows.append(Window(window, float(max(1, tokens(done, end) - marks))))
        done = end
    return windows


def fit(text: str, count_tokens: CountTokens, max_tokens: int) -> str:
    """The text, or its beginning that fits, ended at a sentence, clause or word."""
    if count_tokens(text) <= max_tokens:
        return text
    room = _furthest(0, len(text), lambda end: count_tokens(text[:end]) <= max_tokens)
    short = cut(text, room)
    while count_tokens(short) > max_tokens:  # merges can make a prefix longer in tokens
        short = cut(text, len(short) - 1)
    return short


def _pieces(text: str, count_tokens: CountTokens, max_tokens: int) -> Iterator[str]:
    """Clauses; words of a clause that does not fit; characters of a word that does not fit."""
    for clause in split_clauses(text):
        if count_tokens(clause) <= max_tokens:
            yield clause
            continue
        for word in _words(clause):
            if count_tokens(word) <= max_tokens:
                yield word
            else:
                yield from word


def _furthest(low: int, last: int, fits: Callable[[int], bool]) -> int:
    """The furthest end in [low, last] that fits, `low` itself being granted.

    Strides double before they are halved, so that only texts near the limit are tokenized, not the
    whole rest of a long one again and again.
    """
    stride = 1
    while low + stride <= last and fits(low + stride):
        low += stride
        stride *= 2
    while stride:
        if low + stride <= last and fits(low + stride):
            low += stride
        stride //= 2
    return low


def _words(clause: str) -> Iterator[str]:
    """Words with the white space after them."""
    start = 0
    for position in range(1, len(clause)):
        if clause[position - 1].isspace() and not clause[position].isspace():
            yield clause[start:position]
            start = position
    yield clause[start:]


def _mean(cosines: list[float], windows: list[Window]) -> float:
    total = sum(window.weight for window in windows)
    return sum(cosine * w.weight for cosine, w in zip(cosines, windows, strict=True)) / total
