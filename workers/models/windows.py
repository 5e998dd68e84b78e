"""Scores texts that are longer than a model's context, in windows that end at clause boundaries.

Metrics usually cut a long text at the context, or fail (torchmetrics issue 2883): one token too
many then changes the whole score. Here a text one token past the limit has a second window, which
counts for that one token. So its score is close to that of the text without it.

The work is bounded: a text of more windows than `MOST_WINDOWS` is scored at so many places.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
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
MOST_WINDOWS = 8
"""Most windows of one text. They hold about 2,000 characters of English, or 250 of Chinese. Without
a limit one alt text of 8,192 Chinese characters cost as much as 280 usual ones."""
_TOKEN_CHARS = 16
"""A token seldom has more characters. Of a longer text only parts are tokenized."""

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
    vector: NDArray[np.float32] = field(compare=False)
    """(d,): its product with an image's unit vector is the score of the text for that image."""


def score_texts(
    scorer: Scorer, texts: Sequence[str], images: NDArray[np.float32]
) -> list[TextScore]:
    """Score `texts[i]` against `images[i]`, a unit row of shape (d,); no text may be blank.

    The score is the mean of the windows' cosines, each weighted by the tokens that its window adds
    to the earlier ones. A text has at most `MOST_WINDOWS`. Raises OutOfMemory.
    """
    if not texts:
        return []
    count = cache(scorer.count_tokens)  # candidates are often equal, and so are their clauses
    parts = [windows_of(text, count, scorer.context_length) for text in texts]
    # Candidates are often equal, and a long text less a phrase has most of its windows: each
    # different window is encoded once.
    flat = dict.fromkeys(window.text for windows in parts for window in windows)
    places = {text: at for at, text in enumerate(flat)}
    vectors = scorer.encode_texts(list(flat))
    scored = []
    for windows, image in zip(parts, images, strict=True):
        own = vectors[[places[window.text] for window in windows]]
        cosines = [float(cosine) for cosine in own @ image]
        scored.append(TextScore(_mean(cosines, windows), tuple(cosines), _vector(own, windows)))
    return scored


def windows_of(text: str, count_tokens: CountTokens, max_tokens: int) -> list[Window]:
    """All windows of a text, or `MOST_WINDOWS` at even distances where it has more."""
    most = MOST_WINDOWS * max_tokens
    if len(text) <= most * _TOKEN_CHARS and count_tokens(text) <= most:
        windows = split_windows(text, count_tokens, max_tokens, _OVERLAP_CLAUSES)
        if len(windows) <= MOST_WINDOWS:
            return windows
    return _spread(text, count_tokens, max_tokens)


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
    if len(text) <= max_tokens * _TOKEN_CHARS and count_tokens(text) <= max_tokens:
        return text
    room = _furthest(0, len(text), lambda end: count_tokens(text[:end]) <= max_tokens)
    if room == len(text):
        return text
    short = cut(text, room)
    while count_tokens(short) > max_tokens:  # the beginning of a text may have more tokens
        short = cut(text, len(short) - 1)
    return short


def _spread(text: str, count_tokens: CountTokens, max_tokens: int) -> list[Window]:
    """The beginning of each of `MOST_WINDOWS` parts of a text, which are about equally long."""
    stride = -(-len(text) // MOST_WINDOWS)
    starts = [_next_start(text, at, stride) for at in range(0, len(text), stride)]
    marks = count_tokens("")
    windows = []
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        window = fit(text[start:end].strip(), count_tokens, max_tokens).strip()
        if window:
            windows.append(Window(window, float(max(1, count_tokens(window) - marks))))
    return windows


def _next_start(text: str, at: int, stride: int) -> int:
    """The first clause that begins after `at`, else the first word, within the stride."""
    if not at:
        return 0
    for parts in (split_clauses(text[at : at + stride]), _WORD.findall(text[at : at + stride])):
        if len(parts) > 1:
            return at + len(parts[0])
    return at


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


def _vector(vectors: NDArray[np.float32], windows: list[Window]) -> NDArray[np.float32]:
    import numpy as np

    return np.average(vectors, axis=0, weights=[w.weight for w in windows]).astype(np.float32)
