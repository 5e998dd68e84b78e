"""Tokens of texts, as the tokenizers of open_clip make them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from kaption.workers.text.marks import Marks, highest_token, written_tokens

if TYPE_CHECKING:
    import torch

_CLEANINGS = 8
"""Times that entities within entities are resolved; deeper ones lose their ampersands."""

_COUNTS = 4096
"""Texts whose counts are kept: those of some batches of 64 images."""


class Tokens:
    """Keeps a model's special tokens out of texts, and counts all tokens of a text."""

    def __init__(self, tokenizer: Any) -> None:
        from open_clip.tokenizer import basic_clean, canonicalize_text

        self._tokenizer = tokenizer
        self._inner = getattr(tokenizer, "tokenizer", None)
        """None in SimpleTokenizer, which is no wrapper of a tokenizer of transformers."""
        # `fit`, the windows and the comparisons of select count the tokens of the same texts.
        self.count = lru_cache(_COUNTS)(self._count)
        # Only SigLipTokenizer has none; this is what it does.
        self._clean: Callable[[str], str] = getattr(
            tokenizer, "clean_fn", lambda text: canonicalize_text(basic_clean(text))
        )
        if self._inner is None:
            self._marks = Marks(tokenizer.decoder[number] for number in tokenizer.all_special_ids)
        else:
            self._marks = Marks(written_tokens(self._inner))

    @property
    def highest(self) -> int:
        """The highest token that `rows` may give."""
        if self._inner is not None:
            return highest_token(self._inner, self._marks)
        own = self._tokenizer
        texts = {*own.decoder} - {*own.all_special_ids}
        return int(max(*texts, own.sot_token_id, own.eot_token_id))

    def rows(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, context length) numbers of tokens, cut and padded."""
        found: torch.Tensor = self._tokenizer([self._plain(text) for text in texts])
        return found

    def _count(self, text: str) -> int:
        """Tokens of a text, begin and end marks included; `rows` cuts them."""
        plain = self._plain(text)
        if self._inner is None:
            return len(self._tokenizer.encode(plain)) + 2  # which leaves out the two marks
        return len(self._inner(self._clean(plain), verbose=False).input_ids)

    def _plain(self, text: str) -> str:
        """The text without the special tokens that the tokenizer would read in it.

        The tokenizer's own cleaning comes first: it turns entities into characters.
        """
        if text.isascii() and "&" not in text and not self._marks.possible(text):
            return text  # cleaning takes half as long as tokenizing
        for _ in range(_CLEANINGS):
            cleaned = self._marks.broken(self._clean(text))
            if cleaned == text:
                return text
            text = cleaned
        return self._marks.broken(self._clean(text.replace("&", " ")))
