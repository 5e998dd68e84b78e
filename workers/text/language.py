"""Which language a text is in, by lingua's n-gram models; unsure answers are none at all."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from kaption.connections.errors import Fatal
from kaption.workers.policy import TextPolicy

if TYPE_CHECKING:
    from lingua import LanguageDetector as Lingua

_MIN_LETTERS = 8
"""Shorter texts in an alphabet are guessed at ("a vase" came out as Maori, "Rote Vase" as Finnish);
one character of a script with a single language says more, so this counts ASCII letters only."""

_MAX_CHARS = 1_000
"""More adds time, not certainty."""


@dataclass(frozen=True, slots=True)
class Detected:
    """A language and how sure the detector is of it."""

    tag: str
    """BCP 47 primary tag, lower case, such as ``en``."""
    confidence: float


class LanguageDetector:
    """Tells the languages of `policy.detect_languages` apart; may be called from any thread.

    Models load at first use, by script: ~330 MB for the Latin alphabet's 15, ~560 MB for all 24
    (all 75 of lingua: over 1 GB; its low-accuracy mode takes 50 MB, but was sure and wrong on every
    fourth short alt text, so it is not used). One text takes ~0.4 ms after that.
    """

    def __init__(self, policy: TextPolicy) -> None:
        self._codes = sorted({*policy.detect_languages, *map(_primary, policy.languages)})
        self._accepted = frozenset(map(_primary, policy.languages))
        self._confidence = policy.language_confidence
        self._lock = threading.Lock()

    def load(self) -> None:
        """Check the languages asked for, without loading models. Raises Fatal."""
        _ = self._lingua

    def detect(self, text: str) -> Detected | None:
        """The text's language, or none for texts that are short or could be several."""
        if text.isascii() and sum(map(str.isalpha, text)) < _MIN_LETTERS:
            return None
        values = self._lingua.compute_language_confidence_values(text[:_MAX_CHARS])
        if not values:
            return None
        # lingua adds up in parallel, in no fixed order: the last digits differ from call to call,
        # and a record that is delivered again must have the same outcome.
        confidence = min(1.0, round(values[0].value, 6))
        if confidence < self._confidence:
            return None
        return Detected(values[0].language.iso_code_639_1.name.lower(), confidence)

    def accepts(self, detected: Detected | None) -> bool:
        """Whether `policy.languages` admits it; a language that is not known is admitted."""
        return detected is None or not self._accepted or detected.tag in self._accepted

    @property
    def _lingua(self) -> Lingua:
        with self._lock:
            return self._built

    @cached_property
    def _built(self) -> Lingua:
        from lingua import IsoCode639_1, LanguageDetectorBuilder

        known = {name: getattr(IsoCode639_1, name) for name in dir(IsoCode639_1) if name.isupper()}
        unknown = [code for code in self._codes if code.upper() not in known]
        if unknown:
            raise Fatal(f"languages that cannot be detected: {', '.join(unknown)}")
        codes = [known[code.upper()] for code in self._codes]
        return LanguageDetectorBuilder.from_iso_codes_639_1(*codes).build()


def _primary(tag: str) -> str:
    return tag.split("-")[0].lower()
