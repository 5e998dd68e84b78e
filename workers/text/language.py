"""Detects the language of a text by lingua's n-gram models."""

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
"""ASCII texts with fewer letters get no language: for them the detector guesses ("a vase" was found
to be Maori, "Rote Vase" Finnish). Other texts need no such length: one character of a script that a
single language uses is enough."""

_MAX_CHARS = 1_000
"""Only this many are looked at: more take time and change no answer."""


@dataclass(frozen=True, slots=True)
class Detected:
    """A language, and the detector's confidence from 0 to 1."""

    tag: str
    """BCP 47 primary tag, lower case, such as ``en``."""
    confidence: float


class LanguageDetector:
    """Tells the languages of `policy.detect_languages` apart; may be called from any thread.

    Models load at first use, a script at a time: 330 MB for the 15 languages of the Latin alphabet,
    560 MB for all 24. After that a text takes 0.4 ms. All 75 languages of lingua would take over
    1 GB. Its low-accuracy mode takes 50 MB, but gave a confident wrong answer for every fourth
    short alt text, so it is not used.
    """

    def __init__(self, policy: TextPolicy) -> None:
        self._codes = sorted({*policy.detect_languages, *map(_primary, policy.languages)})
        self._accepted = frozenset(map(_primary, policy.languages))
        self._confidence = policy.language_confidence
        self._lock = threading.Lock()

    def load(self) -> None:
        """Check that lingua knows the languages, without loading models. Raises Fatal."""
        _ = self._lingua

    def detect(self, text: str) -> Detected | None:
        """The text's language; None where the text is too short or the confidence too low."""
        if text.isascii() and sum(map(str.isalpha, text)) < _MIN_LETTERS:
            return None
        values = self._lingua.compute_language_confidence_values(text[:_MAX_CHARS])
        if not values:
            return None
        # lingua adds numbers up in parallel, in no fixed order, so the last digits differ from call
        # to call. They are rounded off: a record that comes again must have the same outcome.
        confidence = min(1.0, round(values[0].value, 6))
        if confidence < self._confidence:
            return None
        return Detected(values[0].language.iso_code_639_1.name.lower(), confidence)

    def accepts(self, detected: Detected | None) -> bool:
        """Whether `policy.languages` accepts the language; True where none was detected."""
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
            raise Fatal(
                f"lingua has no language {', '.join(unknown)}: write ISO 639-1 codes of its"
                " languages in ingest.text.languages and ingest.text.detect_languages"
            )
        codes = [known[code.upper()] for code in self._codes]
        return LanguageDetectorBuilder.from_iso_codes_639_1(*codes).build()


def _primary(tag: str) -> str:
    return tag.split("-")[0].lower()
