"""What stands on identity documents, driving licences and CVs: titles, labels and headings.

The alternative, a model of layouts such as LayoutLM, needs a training set of real documents.
"""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Iterable
from pathlib import Path

_LETTERS = str.maketrans("łøđ\u0131", "lodi")  # what NFKD leaves as it is


def folded(text: str) -> str:
    """The letters and digits of a text in lower case, without accents and blanks.

    OCR loses accents, and joins and parts words.
    """
    plain = unicodedata.normalize("NFKD", text.casefold().translate(_LETTERS))
    return "".join(each for each in plain if each.isalnum())


def _folded(words: Iterable[str]) -> frozenset[str]:
    return frozenset(map(folded, words))


_SAID = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
TITLES = _folded(_SAID["titles"])
"""Names of documents, as `folded` gives them, like the others."""
CV_TITLES = _folded(_SAID["cv_titles"])
LABELS = {kind: _folded(words) for kind, words in _SAID["labels"].items()}
"""Labels of the fields of a document, by what they name."""
CV_HEADINGS = {kind: _folded(words) for kind, words in _SAID["headings"].items()}
"""Headings of the parts of a CV, by what they head."""
