"""An alt text made clean, in the language it is found to be in."""

from __future__ import annotations

from dataclasses import dataclass

from kaption.workers.policy import TextPolicy
from kaption.workers.text.clean import clean
from kaption.workers.text.language import Detected, LanguageDetector
from kaption.workers.text.notes import Note


@dataclass(frozen=True, slots=True)
class AltText:
    """A cleaned alt text and its language, where that is sure."""

    text: str
    notes: tuple[Note, ...]
    detected: Detected | None


def read_alt_text(
    text: str, declared: str | None, policy: TextPolicy, languages: LanguageDetector
) -> AltText:
    """Clean `text`; a language that is found wins over the `declared` one, which pages often copy
    from a template. Cleaned first, because markup and mojibake are no language."""
    cleaned = clean(text, policy, declared)
    detected = languages.detect(cleaned.text)
    if detected is not None and (declared or "").split("-")[0].lower() != detected.tag:
        cleaned = clean(text, policy, detected.tag)
    return AltText(cleaned.text, cleaned.notes, detected)
