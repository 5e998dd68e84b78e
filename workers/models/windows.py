"""Scores texts that are longer than a model's context, in windows that end at clause boundaries.

Metrics usually cut a long text at the context, or fail (torchmetrics issue 2883): one token too
many then changes the whole score. Here a text one token past the limit has a second window, which
counts for that one token. So its score is close to that of the text without it.
"""

from __future__ import annotations

import re
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

_WORD = re.compile(r"\S+\s*|\s+")
"""A word with the white space after it, or white space at the beginning."""

CountTokens = Callable[[str], int]
"""Tokens of a text, begin and end marks included."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a text that fits the model."""

    text: str
    weight: float
    """Number of tokens that are in no earlier window; at least 1."""


@dataclass(frozen=True, slots=True)
class TextScore:
    """The alignment of one text with one image, as cosines."""

    score: float
    window_scores: tuple[float, ...]


def score_texts(
    scorer: Scorer,
    texts: Sequence[str],
    images: NDArray[np.float32],
) -> list[TextScore]:
    """Score `texts[i]` against `images[i]`, a unit row of shape (d,); no text may be blank.

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
    """Split a text into windows of at most `max_tokens`; a text that fits is one window.

    Each window after the first begins with up to `overlap` clauses of the one before, as far as
    they fit. A clause longer than the context is split into words, such a word into characters.
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
    """The text where it fits, else its beginning, up to the end of a sentence, clause or word."""
    if count_tokens(text) <= max_tokens:
        return text
    room = _furthest(0, len(text), lambda end: count_tokens(text[:end]) <= max_tokens)
    short = cut(text, room)
    while count_tokens(short) > max_tokens:  # the beginning of a text may have more tokens
        short = cut(text, len(short) - 1)
    return short


def _pieces(text: str, count_tokens: CountTokens, max_tokens: int) -> Iterator[str]:
    """Clauses; the words of a clause that does not fit; the characters of such a word."""
    for clause in split_clauses(text):
        if count_tokens(clause) <= max_tokens:
            yield clause
            continue
        for word in _WORD.findall(clause):
            if count_tokens(word) <= max_tokens:
                yield word
            else:
                yield from word


def _furthest(low: int, last: int, fits: Callable[[int], bool]) -> int:
    """The largest end in [low, last] that fits; `low` is taken to fit.

    Steps double until one does not fit, and are halved then. So all texts that are tokenized are
    about as long as the limit, and not as long as the rest of the text.
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


def _mean(cosines: list[float], windows: list[Window]) -> float:
    total = sum(window.weight for window in windows)
    return sum(cosine * w.weight for cosine, w in zip(cosines, windows, strict=True)) / total
