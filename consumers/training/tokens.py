"""Texts as the model's token ids without padding, for tokenizers of several libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_UNKNOWN = 1 << 20
"""Transformers gives a length above this for a tokenizer whose length it does not know."""


class TextTokens:
    """Makes a text its token ids, cut to the context, with the begin and end tokens.

    `tokenizer` is the model's: one of transformers, one of `open_clip.get_tokenizer`, or any
    callable that takes a list of texts and returns padded rows of ids (tensor or lists). Give
    `context_length`, in tokens, where the tokenizer does not have it, and `pad_id` where it is not
    0 and the tokenizer does not have it.

    A model that pools the last position (SigLIP), or that expects a token behind the padding, needs
    rows of its whole context: give `Collate` and `TrainingBatches` one bucket of that length.

    Raises ValueError where the context, or the padding of a transformers tokenizer, is not known.
    """

    def __init__(
        self,
        tokenizer: Callable[..., Any],
        *,
        context_length: int | None = None,
        pad_id: int | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        # open_clip wraps transformers' tokenizers. Only the wrapper cleans texts as the model
        # expects, so the inner tokenizer is never called, only asked for its numbers.
        inner = getattr(tokenizer, "tokenizer", tokenizer)
        told = getattr(tokenizer, "context_length", None)
        self._unpadded = hasattr(tokenizer, "model_input_names")
        if self._unpadded and told is None:
            longest = int(getattr(tokenizer, "model_max_length", _UNKNOWN))
            told = longest if longest < _UNKNOWN else None
        length = told if context_length is None else context_length
        if length is None:
            raise ValueError("the tokenizer does not say its context length: give context_length")
        if pad_id is None:
            pad_id = getattr(inner, "pad_token_id", None)
        if pad_id is None and self._unpadded:
            raise ValueError("the tokenizer has no padding token: give pad_id")
        self.context_length = int(length)
        self.pad_id = int(pad_id or 0)
        self._padded_with_end = getattr(inner, "eos_token_id", None) == self.pad_id

    def __call__(self, text: str) -> list[int]:
        """Return the ids of one text, at most `context_length`."""
        if self._unpadded:
            cut = self._tokenizer([text], truncation=True, max_length=self.context_length)
            return [int(token) for token in cut["input_ids"][0]]
        row = [int(token) for token in self._tokenizer([text])[0]]
        if len(row) > self.context_length:
            raise ValueError(
                f"the tokenizer gives rows of {len(row)}, not {self.context_length}: cutting them"
                " here would lose the end token, so let the tokenizer cut its texts"
            )
        filled = max((at + 1 for at, token in enumerate(row) if token != self.pad_id), default=0)
        # Where the end token is also the padding token, the first one belongs to the text.
        return row[: filled + 1] if self._padded_with_end else row[:filled]
