"""Detects the language of a text: lingua's answer, where a second opinion confirms it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING

from kaption.connections.errors import Fatal
from kaption.workers.policy.ingest import TextPolicy
from kaption.workers.text.scripts import han_language, is_han, scripts_of, uses

if TYPE_CHECKING:
    from lingua import LanguageDetector as Lingua
    from py3langid.langid import LanguageIdentifier

_MIN_LETTERS = 8
"""ASCII texts with fewer letters get no language: for them the detector guesses ("a vase" was found
to be Maori, "Rote Vase" Finnish). Other texts need no such length: one character of a script that a
single language uses is enough."""
_MIN_WORDS = 4
"""Latin texts with fewer words get a language only if the page declares the same one. Names and
dishes travel: "Pizza margherita" on an English page is no Italian text."""
_CONFIRMED = 0.4
"""Probability at py3langid from which it confirms lingua's answer. On 176 alt texts in 38 languages
(tests/support/alt_texts.py) right answers had .42 and more, wrong ones .14 and less. A Slovak text
had .35 for Czech, and a Pashto one .37 for Persian."""
_DOUBTED = 0.2
"""Probability of a declared language that lingua cannot choose, from which its answer is doubted.
Malay texts had .18 to .48 for Malay, and .52 to .77 for Indonesian."""
_RIVAL = 0.45
"""Probability of the language in `_TWINS` from which lingua's answer is doubted unless the page
declares it. Three of four Malay texts had .48 to .54 for Malay, and one of five Indonesian ones."""
_UNLIKELY, _EXCLUDED = 0.1, 0.001
"""lingua's confidence and py3langid's probability of each accepted language, below both of which a
text without a language is refused. Of 1,353 texts in 24 accepted languages they refuse none, of
88,151 in others 8,831, a fifth of those that were accepted without this rule."""
_BESIDE_NAMES = 0.2
"""Probability of another language in the words without a capital letter from which names alone may
have decided: "Tourists outside Schloss Neuschwanstein" was found to be German. English alone
refused 16 of 80 English captions with foreign names, and refuses 10 by this rule. It lets 2 of
17,501 messages of programs in 17 other languages through, and takes 13 of 8,335 right answers."""
_SURE = 0.5
"""Probability from which py3langid's own answer stands against the declared language."""

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

    lingua chooses among those languages and no others: it gave Urdu the confidence 1.0 for Persian,
    Marathi for Hindi, Norwegian .9 for Swedish. So a second opinion is asked: py3langid, which
    knows 140 languages in 30 MB. Two of three must agree: lingua, py3langid, and the language that
    the page declares. Otherwise the text has no language.

    lingua's models load at first use, a script at a time: 330 MB for the 15 languages of the Latin
    alphabet, 560 MB for all 24. After that a text takes 0.4 ms. All 75 languages of lingua would
    take over 1 GB. Its low-accuracy mode takes 50 MB, but gave a confident wrong answer for every
    fourth short alt text, so it is not used.
    """

    def __init__(self, policy: TextPolicy) -> None:
        self._codes = sorted({*policy.detect_languages, *map(_primary, policy.languages)})
        self._accepted = frozenset(map(_primary, policy.languages))
        self._confidence = policy.language_confidence
        self._lock = threading.Lock()

    def load(self) -> None:
        """Load all but lingua's models. Raises Fatal for a language that lingua does not know."""
        _ = self._detectors

    def detect(self, text: str, declared: str | None = None) -> Detected | None:
        """The text's language; None where no two opinions agree or the confidence is too low.

        `declared` is the language that the page names (BCP 47). It decides nothing alone, except
        between languages that share all characters of the text, such as Chinese and Japanese.
        """
        if text.isascii() and sum(map(str.isalpha, text)) < _MIN_LETTERS:
            return None
        text = text[:_MAX_CHARS]
        declared = _primary(declared or "")
        declared = _ALIASES.get(declared, declared)
        found = self._agreed(text, declared)
        if found is None or found.tag == declared or not self._is_of_names(found.tag, text):
            return found
        return None

    def _agreed(self, text: str, declared: str) -> Detected | None:
        scripts = scripts_of(text)
        if is_han(scripts):
            return self._of_han(text, declared)
        lingua = self._first(text)
        if lingua is None:
            return None
        if scripts == {"LATIN"} and len(text.split()) < _MIN_WORDS:
            return lingua if lingua.tag == declared and self._is_sure(lingua) else None
        shares = self._shares(text)
        other = max((Detected(*share) for share in shares.items()), key=lambda one: one.confidence)
        # lingua never chooses a language that it was not given.
        foreign = declared not in self._codes and shares.get(declared, 1.0) >= _DOUBTED
        twin = _TWINS.get(lingua.tag)
        rival = 0.0 if twin is None or twin in self._codes else shares.get(twin, 0.0)
        share = shares.get(lingua.tag, 0.0)
        if share >= _CONFIRMED:
            # Either may be sure: lingua has .55 for "a large red circle on the grass". So 11 more
            # of the 176 alt texts have a language, and none a wrong one.
            lingua = replace(lingua, confidence=max(lingua.confidence, share))
        if (
            (not declared or not foreign)
            and (declared == lingua.tag or rival < _RIVAL)
            and self._is_sure(lingua)
            and (
                share >= _CONFIRMED
                or lingua.tag in _ONLY_LINGUA
                or (declared == lingua.tag and other.confidence < _SURE)
            )
        ):
            return lingua
        if declared == other.tag and self._is_sure(other):
            return other
        return None

    def accepts(self, detected: Detected | None, text: str = "") -> bool:
        """Whether `policy.languages` accepts a text and the language that was detected.

        A text without a language is refused if it has letters and no accepted language is written
        with them, or if neither opinion takes it for an accepted one.
        """
        if not self._accepted:
            return True
        if detected is not None:
            return detected.tag in self._accepted
        text = text[:_MAX_CHARS]
        scripts = scripts_of(text)
        if scripts and not any(uses(language, scripts) for language in self._accepted):
            return False
        return not self._is_foreign(text, scripts)

    def _is_foreign(self, text: str, scripts: frozenset[str]) -> bool:
        """Whether lingua and py3langid both find every accepted language unlikely."""
        short = scripts == {"LATIN"} and len(text.split()) < _MIN_WORDS
        if short or is_han(scripts) or not self._accepted.isdisjoint(_ONLY_LINGUA):
            return False
        values = self._detectors[0].compute_language_confidence_values(text)
        names = {one.language.iso_code_639_1.name.lower(): one.value for one in values}
        if max((names.get(each, 0.0) for each in self._accepted), default=1.0) >= _UNLIKELY:
            return False
        shares, beside = self._shares(text), self._shares_beside_names(text)
        return all(
            shares.get(each, 0.0) < _EXCLUDED and beside.get(each, 0.0) < _BESIDE_NAMES
            for each in self._accepted
        )

    def _is_of_names(self, tag: str, text: str) -> bool:
        """Whether the words beside the names of a text are rather of another language."""
        shares = self._shares_beside_names(text)
        rival = max((shares.get(each, 0.0) for each in self._codes if each != tag), default=0.0)
        return rival >= max(_BESIDE_NAMES, shares.get(tag, 0.0))

    def _is_sure(self, one: Detected) -> bool:
        return one.confidence >= self._confidence

    def _of_han(self, text: str, declared: str) -> Detected | None:
        """Only Chinese characters: what they tell, else what the page declares."""
        found = han_language(text)
        if found is not None:
            return Detected(found, 1.0) if found in self._codes else None
        if declared in {"ja", "zh"} & set(self._codes):
            return Detected(declared, self._confidence)
        return None

    def _first(self, text: str) -> Detected | None:
        values = self._detectors[0].compute_language_confidence_values(text)
        if not values:
            return None
        # lingua adds numbers up in parallel, in no fixed order, so the last digits differ from call
        # to call. They are rounded off: a record that comes again must have the same outcome.
        confidence = min(1.0, round(values[0].value, 6))
        return Detected(values[0].language.iso_code_639_1.name.lower(), confidence)

    def _shares(self, text: str) -> dict[str, float]:
        """py3langid's probability of each language it knows."""
        shares: dict[str, float] = {}
        for tag, share in self._detectors[1].rank(text):
            known = _ALIASES.get(tag, tag)
            shares[known] = min(1.0, shares.get(known, 0.0) + round(float(share), 6))
        return shares

    def _shares_beside_names(self, text: str) -> dict[str, float]:
        """The same of the words that begin with a small letter; empty if all do, or none."""
        words = text.split()
        small = [word for word in words if word[0].islower()]
        return self._shares(" ".join(small)) if 0 < len(small) < len(words) else {}

    @property
    def _detectors(self) -> tuple[Lingua, LanguageIdentifier]:
        with self._lock:
            return self._built

    @cached_property
    def _built(self) -> tuple[Lingua, LanguageIdentifier]:
        from lingua import IsoCode639_1, LanguageDetectorBuilder
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        known = {name: getattr(IsoCode639_1, name) for name in dir(IsoCode639_1) if name.isupper()}
        unknown = [code for code in self._codes if code.upper() not in known]
        if unknown:
            raise Fatal(
                f"lingua has no language {', '.join(unknown)}: write ISO 639-1 codes of its"
                " languages in ingest.text.languages and ingest.text.detect_languages"
            )
        codes = [known[code.upper()] for code in self._codes]
        return (
            LanguageDetectorBuilder.from_iso_codes_639_1(*codes).build(),
            LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True),
        )


@lru_cache(maxsize=4096)
def detected(text: str) -> str:
    """The language of a text as a BCP 47 primary tag; empty if it is unsure."""
    found = _default().detect(text)
    return found.tag if found else ""


@cache
def _default() -> LanguageDetector:
    return LanguageDetector(TextPolicy())


_ALIASES = {"no": "nb", "yue": "zh", "wuu": "zh", "cmn": "zh", "iw": "he", "in": "id", "ji": "yi"}
"""Codes of py3langid and of pages that lingua calls otherwise."""
_TWINS = {"id": "ms"}
"""Languages whose short texts both detectors take for one another's."""
_ONLY_LINGUA = frozenset({"mi", "tn", "ts"})
"""Languages that py3langid does not know: it cannot confirm them."""


def _primary(tag: str) -> str:
    return tag.split("-")[0].lower()
