"""Takes the caption out of a model's answer: without thoughts, lead-ins, Markdown and JSON."""

# ruff: noqa: RUF001  # typographic and CJK punctuation is what models write

from __future__ import annotations

import ast
import json
import re

_THOUGHT = re.compile(
    r"<(think|thinking|thought|thoughts|reasoning|seed:think)>.*?</\1>|◁think▷.*?◁/think▷",
    re.IGNORECASE | re.DOTALL,
)
_THOUGHT_END = re.compile(
    r"\A.*(?:</(?:think|thinking|thought|thoughts|reasoning|seed:think)>|◁/think▷)",
    re.IGNORECASE | re.DOTALL,
)
_WRAPPER = re.compile(
    r"</?(?:answer|caption|response|output|final|description|result|alt|text)>", re.IGNORECASE
)
_FINAL = re.compile(
    r"\A.*\b(?:final|best)\s+(?:caption|answer|description|alt[- ]?text)\b[*_\s]*:[*_\s]*",
    re.I | re.DOTALL,
)
"""Thoughts without a tag around them end so."""
_FENCE = re.compile(r"\A\s*```[\w-]*\s*\n?(.*?)\s*(?:```.*)?\Z", re.DOTALL)
_FIELD = re.compile(
    r'"(?:caption|description|text|alt_text|alt|answer|response|output|content)"\s*:\s*'
    r'"((?:[^"\\]|\\.)*)',
    re.IGNORECASE,
)
_KEYS = ("caption", "description", "text", "alt_text", "alt", "answer", "response", "output")
_NOUN = (
    r"(?:captions?|descriptions?|alt[- ]?texts?|answers?|responses?|sentences?|summary|options?"
    r"|json|outputs?|results?)"
)
_LEAD_IN = re.compile(
    rf"""\A(?:
      (?:sure(?:\ thing)?|certainly|of\ course|absolutely|okay|ok|alright|got\ it|great|no\ problem
        |gladly|happy\ to\ help|claro(?:\ que\ s[ií])?|por\ supuesto|bien\ s[ûu]r|d['’]accord
        |natürlich|gerne?|certo|certamente|конечно|хорошо)
        (?:\s*[!.,:]|\s+[-–—])\s*
    | (?:当然(?:可以)?|好的|可以)[！!，,。：:]\s*
    | (?:(?:here(?:['’]s|\ is|\ are)|this\ is|below\ is|the\ following\ is)\ [^.:\n]{{0,80}}?
        \b{_NOUN}\b[^.:\n]{{0,80}}:)\s*
    | here\ (?:you\ (?:go|are)|it\ is)\s*[:.!,]\s*
    | (?:voici|hier\ ist|hier\ sind|aqu[ií]\ (?:está|tienes|hay|va)|ecco|aqui\ está|вот|以下是|这是)
        [^.:：\n]{{0,80}}[:：]\s*
    | (?:the\ )?(?:final\ |short\ |image\ |photo\ |picture\ |suggested\ |possible\ |new\ |best\ )*
        {_NOUN}(?:\ (?:of|for)\ (?:the|this)\ (?:image|photo|picture))?(?:\ \d+)?(?:\ is)?\s*:\s*
    | (?:assistant|bildunterschrift|beschreibung|légende|leyenda|descripción|didascalia|описание
        |图片描述|描述|标题)\s*[:：]\s*
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_TITLE = re.compile(rf"\A[\W_]*(?:\w+ ){{0,2}}{_NOUN}[^\w\n]*\n", re.IGNORECASE)
"""A first line that only names what follows."""
_HEADING = re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+|^[ \t]*>[ \t]+", re.MULTILINE)
_BULLET = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,2}[.)])[ \t]+", re.MULTILINE)
_EMPHASIS = re.compile(r"(\*\*\*|\*\*|\*|___|__|~~|`)(?=\S)(.+?)(?<=\S)\1", re.DOTALL)
_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\s]*\)")
_CHOICES = re.compile(r"\b(?:options|captions|descriptions|versions|choices|alternatives)\b", re.I)
_FAREWELL = re.compile(
    r"(?:\s|\A)(?:let me know\b|i hope (?:this|that)\b|feel free to\b|would you like\b"
    r"|do you (?:want|need)\b|is there anything\b"
    r"|if you(?:['’]d| would)? (?:like|need|want)\b).*\Z",
    re.IGNORECASE | re.DOTALL,
)
_LITERAL_CHARS = 10_000
_QUOTES = {'"': '"', "“": "”", "«": "»", "„": "“", "「": "」", "『": "』", "'": "'"}
_SENTENCE = re.compile(
    r"(?:[.!?…]+|[。！？｡।؟۔]+)[\"'”’»›)\]」』）】》]*(?=\s|\Z)|[。！？｡]+[」』）】》”]*"
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:mr|mrs|ms|dr|prof|st|vs|no|fig|ca|approx|etc|[a-z]\.[a-z]|[^\W\d_])\.$", re.I
)


def caption_of(answer: str) -> str:
    """The caption in an answer, on one line.

    What cannot be told from a caption stays: the check `prose` refuses it.
    """
    text = _FINAL.sub("", _THOUGHT_END.sub("", _THOUGHT.sub("", answer)))
    text = _unwrapped(_WRAPPER.sub("", text).strip())
    for _ in range(4):
        shorter = _unquoted(_unwrapped(_stripped(text)))
        if shorter in ("", text):
            break
        text = shorter
    return " ".join(text.split())


def whole_sentences(text: str) -> str:
    """The text up to the end of its last whole sentence; all of it where no sentence ends."""
    ends = [
        found.end()
        for found in _SENTENCE.finditer(text)
        if not _ABBREVIATION.search(text[: found.end()])
    ]
    return text[: ends[-1]] if ends else text


def _stripped(text: str) -> str:
    text = _TITLE.sub("", text)
    led = _LEAD_IN.match(_EMPHASIS.sub(r"\2", _HEADING.sub("", text)).lstrip())
    plain = _EMPHASIS.sub(r"\2", _LINK.sub(r"\1", _HEADING.sub("", text))).strip()
    if led:
        plain = plain[led.end() :] if plain.startswith(led[0]) else plain
        items = _BULLET.split(plain)
        if len(items) > 2 and _CHOICES.search(led[0]):
            plain = next((item for item in items if item.strip()), "")
    plain = _BULLET.sub("", plain)
    shorter = _FAREWELL.sub("", plain)
    return (shorter if shorter.strip() else plain).strip()


def _unwrapped(text: str) -> str:
    """The caption in a code fence or in JSON, also where its end was cut off."""
    if text.startswith("```") and (found := _FENCE.match(text)):
        text = found[1].strip()
    if text[:1] not in "{[" or not text:
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        if (field := _FIELD.search(text)) is not None:
            return _unescaped(field[1])
        value = _literal(text)
    return _first_text(value) or text


def _literal(text: str) -> object:
    """What Python reads in a text: models write lists and dicts with its quotes, too."""
    try:
        return ast.literal_eval(text) if len(text) < _LITERAL_CHARS else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _first_text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return next((text for each in value if (text := _first_text(each))), None)
    if isinstance(value, dict):
        named = {str(key).lower(): each for key, each in value.items()}
        inner = [named[key] for key in _KEYS if key in named] or list(named.values())
        return next((text for each in inner if (text := _first_text(each))), None)
    return None


def _unescaped(text: str) -> str:
    try:
        value: str = json.loads(f'"{text}"')
    except ValueError:
        return text
    return value


def _unquoted(text: str) -> str:
    end = _QUOTES.get(text[:1])
    inner = text[1:-1]
    if end and len(text) > 2 and text.endswith(end) and end not in inner:
        return inner.strip()
    return text
