"""Texts as the model's token ids, without padding, whichever tokenizer makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_UNKNOWN = 1 << 20
"""Transformers gives a length beyond this where it knows none."""


class TextTokens:
    """One text to its token ids, cut to the context, begin and end marks included.

    `tokenizer` is that of the model: one of transformers, one of `open_clip.get_tokenizer`, or any
    callable that takes a list of texts and returns padded rows of ids (tensor or lists).
    `context_length` is needed where the tokenizer does not tell it, `pad_id` where it is not 0 and
    the tokenizer does not tell it.

    Models that pool the last position (SigLIP) or put a mark behind the padding expect rows of
    their whole context: give `Collate` and `TrainingBatches` the one length as their only bucket.

    Raises ValueError where the context or the padding of a transformers tokenizer is not known.
    """

    def __init__(
        self,
        tokenizer: Callable[..., Any],
        *,
        context_length: int | None = None,
        pad_id: int | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        # open_clip wraps transformers' tokenizers; only its own call cleans texts as it should.
        inner = getattr(tokenizer, "tokenizer", tokenizer)
        told = getattr(tokenizer, "context_length", None)
        self._unpadded = hasattr(tokenizer, "model_input_names")
        if self._unpadded and told is None:
            longest = int(getattr(tokenizer, "model_max_length", _UNKNOWN))
            told = longest if longest < _UNKNOWN else None
        length = told if context_length is None else context_length
        if length is None:
            raise ValueError("the tokenizer does not tell its context: give context_length")
        if pad_id is None:
            pad_id = getattr(inner, "pad_token_id", None)
        if pad_id is None and self._unpadded:
            raise ValueError("the tokenizer has no padding token: give pad_id")
        self.context_length = int(length)
        self.pad_id = int(pad_id or 0)
        self._padded_with_end = getattr(inner, "eos_token_id", None) == self.pad_id

    def __call__(self, text: str) -> list[int]:
        """The ids of one text: at most `context_length`."""
        if self._unpadded:
            cut = self._tokenizer([text], truncation=True, max_length=self.context_length)
            return [int(token) for token in cut["input_ids"][0]]
        row = [int(token) for token in self._tokenizer([text])[0]]
        if len(row) > self.context_length:
            raise ValueError(
                f"the tokenizer gives rows of {len(row)}, not {self.context_length}: cutting them"
                " here would lose the end mark, so make it cut its texts itself"
            )
        filled = max((at + 1 for at, token in enumerate(row) if token != self.pad_id), default=0)
        # Where texts end with the padding's own token, the first one belongs to the text.
        return row[: filled + 1] if self._padded_with_end else row[:filled]
