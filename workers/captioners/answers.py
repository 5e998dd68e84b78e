"""Takes the caption out of a model's answer: without thoughts, lead-ins, Markdown and JSON."""

# ruff: noqa: RUF001  # typographic and CJK punctuation is what models write

from __future__ import annotations

import ast
import json
import re

from kaption.workers.text.replies import (
    EXCLAIMED,
    ITEM,
    LEAD_IN,
    MARK,
    NAMED,
    SIGNS,
    THOUGHT,
    THOUGHT_END,
    TITLE,
    WIDE_ITEM,
    WORDS,
    without_end,
)
from kaption.workers.text.tails import is_spoken, is_tail, without_tail

# A model that loops writes one character thousands of times, and the patterns below would take
# quadratic time for it: 2 s for 4,000 underscores.
_RUN = re.compile(r"(.)\1{40,}", re.DOTALL)
_THOUGHT = re.compile(f"{THOUGHT}.*?{THOUGHT_END}", re.IGNORECASE | re.DOTALL)
_LABEL = r"[-+*•\#>\d.)\s_]{0,12}"
_RESULT = r"(?:caption|description|alt[- ]?text|answer)"
_FOREIGN_THOUGHTS = (
    r"思考(?:过程|過程)?|分析|推理|考え|考察|생각|분석|추론|gedanken\w*|überlegung\w*|analyse|réflexion"
    r"|raisonnement|an[áa]lisis|razonamiento|pensamiento|raciocínio|análise|ragionamento|analisi|analiza"
    r"|rozumowanie|анализ|рассуждени\w+|мысли|аналіз|міркування|(?:ال)?تحليل|(?:ال)?تفكير|تحلیل|düşünce\w*"
    r"|analiz|phân\ tích|suy\ nghĩ|विश्लेषण|ניתוח|מחשבה|ανάλυση|σκέψη|การวิเคราะห์"
)
"""Titles of thoughts. They count before a title of the caption alone."""
_BEFORE = re.compile(
    rf"""\A.*(?:{THOUGHT_END}|\[/INST\]|<\|channel\|>\s*final\b.*?<\|message\|>|assistantfinal)
    | \A\s*(?:user|human|question|prompt|instruction|q)\s*:
        .*?(?:\b(?:assistant|model|gpt|answer|response|output)|^a)\s*:
    | \A\s*(?:system|user)\s*\n.*\n\s*(?:assistant|model)\s*\n
    | \A\s*\#{{2,6}}\s*(?:user|human|question|prompt|instruction|system|input|thoughts?|thinking
        |reasoning|analysis|observations?)\b
        .*\#{{2,6}}\s*(?:assistant|response|answer|output|caption|model|gpt)\s*:?\s*(?=\S)
    | \A(?!\W*(?:an?|the)\b)[^\n.:]{{0,30}}\bassistant\s*:
    | \A\W*(?:step\ \w+|reasoning|rationale|analysis|thoughts?|title|objects|observations?|plan|tags
        |key\ ?words)\b.*?\n[\W_]*(?:caption|description|alt[- ]?text|answer)[*_\s]*[:：][*_\s]*
    | \A\W*(?:{_FOREIGN_THOUGHTS})[\W_]*?(?:[:：]|\n).*?\n[\W_]*{NAMED.replace(" ", chr(92) + " ")}
        (?:[*_\s]*[:：][*_\s]*|[*_\ \t]*\n)
    | \A(?:{_LABEL}(?!(?:\w+\ ){{0,2}}{_RESULT}s?\b)
        [A-Za-z][\w/\ -]{{0,30}}[*_]{{0,3}}\s?[:：][^\n]*\n)+
        {_LABEL}(?:(?:final|image)\ )?{_RESULT}[*_]{{0,3}}\s?[:：][*_\s]*
    | \A.*\b(?:final|best)\s+(?:caption|answer|description|alt[- ]?text)\b[*_\s]*:[*_\s]*""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE | re.MULTILINE,
)
"""The question, and thoughts, with a mark or words at their end."""
_ELEMENT = (
    r"<((?:[A-Za-z][\w:-]{2,40}|[^\W\d_\u0000-\u02ff]{1,40}))>(?:(?!<\1>).){0,20000}?</\1>\s*"
)
_FIRST = re.compile(rf"\A\s*{_ELEMENT}", re.DOTALL)
_LAST = re.compile(rf"(?<=[\n>.!?。])\s*{_ELEMENT}\Z", re.DOTALL)
_CAPTIONS = re.compile(
    rf"(?:{WORDS}|\w*(?:caption|description|answer|response|output|result|final|text|alt|json)s?"
    r"|body|html|div|span|strong|mark|small|sub|sup|code|pre|ul|ol|li|h\d|p|b|i|u|s|em|ref|font)",
    re.IGNORECASE,
)
"""Names of elements that may hold the caption. What another one holds is no part of it."""
_PLACES = re.compile(r"<(box|bbox|quad|point|poly|loc)>[^<>]*</\1>", re.IGNORECASE)
_HEAD = re.compile(r"\A\s*(?:#{1,6}[ \t]+([^\n]{1,80})|\*\*([^*\n]{1,80})\*\*[ \t]*)\n\s*(?=\S)")
"""A title above a text, which is no part of its first sentence."""
_ROLE = re.compile(r"\A\s*(?:assistant|model|user)\s*\n", re.IGNORECASE)
_MARK = re.compile(MARK, re.IGNORECASE)
_RULE = re.compile(r"^[ \t]*(?:[-*_=][ \t]*){3,}$", re.MULTILINE)
_BOXED = re.compile(
    r"\$*\\(?:boxed\{(?:\\(?:text|mathrm)\{)?|text\{)(.*?)\}{1,2}\$*\s*\Z", re.DOTALL
)
_FENCE = re.compile(r"\A(?:[^`]{0,200}[:：]\**)?\s*```[\w-]*\s*\n?(.+?)\s*(?:```.*)?\Z", re.DOTALL)
_FIELD = re.compile(
    r"""["']?\b\w*?(?:caption|description|\btext|alt_text|\balt|answer|response|output|content)s?
    ["']?\s*:\s*\[?\s*(?P<quote>["'])(?P<value>(?:\\.|(?!(?P=quote))[^\\])*)""",
    re.IGNORECASE | re.VERBOSE,
)
_KEYS = ("caption", "description", "text", "alt_text", "alt", "answer", "response", "output")
_NAMED = ("caption", "description", "alt_text")
"""Names of keys may end so: "long_caption"."""
_HEADING = re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+|^[ \t]*>[ \t]*", re.MULTILINE)
_BULLET = re.compile(rf"^[ \t]*(?:(?:[-*+•]|\d{{1,2}}[.)])[ \t]+|{WIDE_ITEM})", re.MULTILINE)
_WIDE = str.maketrans("＊＃｛｝＂｀＿", '*#{}"`_')
"""Full-width marks of Markdown and JSON."""
_WIDE_JSON = str.maketrans("“”„：，", '""":,')
_ESCAPED_BREAK = re.compile(r"(?<=[.!?。！？\"”])\s*(?:\\n)+")
_EMPHASIS = re.compile(
    r"(\*\*\*|\*\*|\*|___|__|~~|`|\b_)(?=\S)(.+?)(?<=\S)\1(?!(?<=_)\w)", re.DOTALL
)
_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\s]*\)")
_CHOICES = re.compile(r"\b(?:options|captions|descriptions|versions|choices|alternatives)\b", re.I)
_LITERAL_CHARS = 10_000
_QUOTES = {'"': '"', "“": "”", "«": "»", "„": "“", "「": "」", "『": "』", "'": "'"}
_SENTENCE = re.compile(
    r"(?:[.!?…]+|[。！？｡।؟۔။។።]+)[\"'”’»›)\]」』）】》]*(?=\s|\Z)|[。！？｡]+[」』）】》”]*"
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:mr|mrs|ms|dr|prof|st|vs|no|fig|ca|approx|etc|[a-z]\.[a-z]|[^\W\d_])\.$", re.I
)


def caption_of(answer: str) -> str:
    """The caption in an answer, on one line.

    What cannot be told from a caption stays: the check `prose` refuses it.
    """
    answer = _RUN.sub(lambda found: found[1] * 40, answer).translate(_WIDE)
    answer = answer if "\n" in answer.strip() else _ESCAPED_BREAK.sub("\n", answer)
    if is_tail(answer) and not is_spoken(answer):
        return " ".join(answer.split())
    text = without_tail(_THOUGHT.sub("", answer).rstrip())
    text = _without_elements(_BEFORE.sub("", _BEFORE.sub("", text)))
    text = _BOXED.sub(r"\1", _ROLE.sub("", _RULE.sub("", _MARK.sub(_line, text))))
    text = _unwrapped(text.strip())
    for _ in range(4):
        shorter = _unquoted(_unwrapped(_stripped(text)))
        if shorter in ("", text):
            break
        text = shorter
    return " ".join(text.split())


def _without_elements(text: str) -> str:
    """The text without elements of other names: `<plan>` before it, `<tags>` behind it."""
    if "</" not in text:
        return text
    rest = _PLACES.sub("", text)
    for form in (_FIRST, _LAST, _FIRST, _LAST):
        found = form.search(rest)
        if found and not _CAPTIONS.fullmatch(found[1]):
            rest = rest[: found.start()] + rest[found.end() :]
    return rest if rest.strip() else text


def _line(mark: re.Match[str]) -> str:
    return "\n" if mark[0].startswith(("</h", "<br")) else ""


def whole_sentences(text: str) -> str:
    """The text up to the end of its last whole sentence; all of it where no sentence ends."""
    ends = [
        found.end()
        for found in _SENTENCE.finditer(text)
        if not _ABBREVIATION.search(text[: found.end()])
    ]
    return text[: ends[-1]] if ends else text


def _stripped(text: str) -> str:
    text = _without_head(EXCLAIMED.sub("", SIGNS.sub("", TITLE.sub("", text)), count=1))
    items = ITEM.split(_EMPHASIS.sub(r"\2", text))
    if len(items) > 2 and not items[0].strip():
        text = next((item for item in items if item.strip()), "")
    led = LEAD_IN.match(_EMPHASIS.sub(r"\2", _HEADING.sub("", text)).lstrip())
    plain = _EMPHASIS.sub(r"\2", _LINK.sub(r"\1", _HEADING.sub("", text))).strip()
    if led:
        plain = plain[led.end() :] if plain.startswith(led[0]) else plain
        items = _BULLET.split(plain)
        if len(items) > 2 and _CHOICES.search(led[0]):
            plain = next((item for item in items if item.strip()), "")
    return without_end(_BULLET.sub("", plain)).strip()


def _without_head(text: str) -> str:
    """The text without its title; a caption in bold letters before a note is no title."""
    head = _HEAD.match(text)
    if head is None:
        return text
    title, rest = head[1] or head[2], text[head.end() :]
    ends = title.rstrip()[-1:] in ".!?。！？"
    noted = without_end(f"{title}.\n{rest}") != f"{title}.\n{rest}"
    return text if ends or noted or len(rest) < len(title) else rest


def _unwrapped(text: str) -> str:
    """The caption in a code fence or in JSON, also where its end was cut off."""
    if "```" in text and (found := _FENCE.match(text)):
        text = found[1].strip()
    text = text.removesuffix("```").rstrip()
    field = _FIELD.search(text)
    if text[:1] not in ("{", "["):
        # A member without its object: "caption": "..."
        return _unescaped(field["value"]) if field and field.start() == 0 else text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = _literal(text) or _literal(text.translate(_WIDE_JSON))
    return _first_text(value) or (_unescaped(field["value"]) if field else text)


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
        named = {str(key).lower().rstrip("s"): each for key, each in value.items()}
        inner = [named[key] for key in _KEYS if key in named]
        inner += [each for key, each in named.items() if key.endswith(_NAMED)]
        texts = [text for each in inner if (text := _first_text(each))]
        others = filter(None, map(_first_text, named.values()))
        return texts[0] if texts else max(others, key=len, default=None)
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
