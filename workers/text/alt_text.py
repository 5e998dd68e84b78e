"""Cleans an alt text and detects its language."""

from __future__ import annotations

from dataclasses import dataclass

from kaption.workers.policy import TextPolicy
from kaption.workers.text.clean import clean
from kaption.workers.text.language import Detected, LanguageDetector
from kaption.workers.text.notes import Note


@dataclass(frozen=True, slots=True)
class AltText:
    """A cleaned alt text, and its language where the detector is sure."""

    text: str
    notes: tuple[Note, ...]
    detected: Detected | None


def read_alt_text(
    text: str, declared: str | None, policy: TextPolicy, languages: LanguageDetector
) -> AltText:
    """Clean `text` and detect its language.

    A detected language wins over the `declared` one: pages often copy theirs from a template. The
    text is cleaned before detection, because markup and broken encoding mislead the detector. It is
    cleaned again where the detected language has another slang table.
    """
    cleaned = clean(text, policy, declared)
    detected = languages.detect(cleaned.text, declared)
    if detected is not None and (declared or "").split("-")[0].lower() != detected.tag:
        cleaned = clean(text, policy, detected.tag)
    return AltText(cleaned.text, cleaned.notes, detected)
