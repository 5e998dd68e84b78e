"""Keeps a model's special tokens from being made of text that came from the web."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

_ROUNDS = 4
_GAP = re.compile("\u2581?<extra_id_[0-9]+>")
"""The marks for gaps in texts of T5, which some vocabularies have among the usual tokens."""


class Marks:
    """The special tokens of a model, as they are written: ``<end_of_text>``, ``[IMG]``.

    A tokenizer reads such a text as the token itself, so that it ends a text or stands for an
    image. Here a space goes into each, so that it is read as the characters that it consists of. It
    is not removed: a removal can make another mark of what stood around it.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        written = {token.strip() for token in tokens}
        # A letter or a word can be a token as well, and must stay usable.
        marks = sorted(
            (each for each in written if len(each) > 1 and not each.isalnum()),
            key=len,
            reverse=True,
        )
        self._pattern = re.compile("|".join(map(re.escape, marks)) or "(?!)", re.IGNORECASE)
        self._signs = frozenset(
            char for mark in marks for char in mark if not (char.isalnum() or char.isspace())
        )

    def broken(self, text: str) -> str:
        """The text with a space in each mark, also in one that only normalisation would make."""
        plain = text
        if not text.isascii():
            folded = unicodedata.normalize("NFKC", text)
            folded = "".join(char for char in folded if unicodedata.category(char) != "Cf")
            if self._pattern.search(folded):
                plain = folded
        if not self.possible(plain):
            return plain
        for _ in range(_ROUNDS):
            if not self._pattern.search(plain):
                return plain
            plain = self._pattern.sub(lambda found: f"{found[0][0]} {found[0][1:]}", plain)
        return "".join(" " if char in self._signs else char for char in plain)

    def possible(self, text: str) -> bool:
        """Whether any sign of a mark is in the text. False for most texts, and quickly told."""
        return not self._signs.isdisjoint(text)


def written_tokens(tokenizer: Any) -> Iterator[str]:
    """What a tokenizer of transformers reads as special, and what is written like it."""
    yield from tokenizer.all_special_tokens
    for token in tokenizer.added_tokens_decoder.values():
        content = str(token)
        if getattr(token, "special", True) or re.fullmatch(r"[<\[|{]\S+[>\]|}]", content):
            yield content
    for token in tokenizer.get_vocab():
        if _GAP.fullmatch(token):
            yield token.removeprefix("\u2581")


def highest_token(tokenizer: Any, marks: Marks) -> int:
    """The highest token that a tokenizer makes of texts without marks, or adds itself.

    Many tokenizers have marks that their model has no embedding for, such as places in PaliGemma.
    """
    roles = ("pad", "bos", "eos", "cls", "sep", "unk")
    added = {getattr(tokenizer, f"{role}_token_id", None) for role in roles}
    numbers = sorted(tokenizer.get_vocab().items(), key=lambda each: -each[1])
    given = (n for token, n in numbers if n in added or marks.broken(token) == token)
    return int(next(given, -1))
