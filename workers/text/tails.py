"""What models write behind a text to say that it ended, who wrote it, or who speaks next."""

# ruff: noqa: RUF001  # typographic and CJK punctuation is what models write

from __future__ import annotations

import re

_TEXT = (
    r"(?:(?:(?:image|photo|picture|alt|short|final|visual|full)[ _-]*)?(?:captions?|descriptions?"
    r"|(?:alt[ _-]?)?text|answers?|responses?|output|message|sentence|transcript(?:ion)?|summary"
    r"|turn|document|conversation|dialogue|instructions?|prompt|file|id)|image|photo|picture)"
)
_ENDS_OF_TEXT = (
    rf"(?:the[ _-]+)?end(?:s|ed|ing)?[ _-]*(?:of[ _-]*)?(?:(?:the|this|your|my)[ _-]+)?{_TEXT}"
    rf"|{_TEXT}[ _-]*(?:ends?|ended|over|completed?|finished|done)(?:\ here)?"
    r"|fin(?:\ de)?(?:\ (?:la|l['’]|du|el|le|image))*\s?(?:description|légende|réponse|texte"
    r"|descripción|leyenda|respuesta)(?:\ de\ (?:la\ imagen|l['’]image))?"
    r"|ende\ (?:der|des)\ (?:bild)?(?:beschreibung|unterschrift|antwort|textes)"
    r"|fine\ (?:della?\ )?(?:descrizione|didascalia|risposta|testo)"
    r"|fim\ (?:d[ao]\ )?(?:descrição|legenda|resposta|texto)"
    r"|einde\ (?:van\ (?:de|het)\ )?(?:beschrijving|bijschrift|onderschrift|antwoord)"
    r"|koniec\ (?:opisu|podpisu|odpowiedzi)|slut\ på\ (?:beskrivning(?:en)?|bildtexten?)"
    r"|конец\ (?:описания|подписи|текста|ответа)|кінець\ (?:опису|підпису)|açıklama(?:nın)?\ sonu"
    r"|(?:图片|圖片)?(?:描述|说明|說明|回答)(?:结束|結束|完毕|完畢|完)"
    r"|(?:説明|キャプション)(?:終了|終わり|以上)|(?:설명|캡션)\s?(?:끝|종료)"
    r"|نهاية\ (?:ال)?(?:وصف|تعليق)|پایان\ (?:توضیح|توصیف|شرح)|विवरण\ समाप्त"
)
_MARKS = (
    r"/?(?:inst|s)|e[o0][sft]|bos|end|ende|einde|koniec|конец|完|終|終わり|結束|结束|끝|النهاية|समाप्त"
    r"|no\ more\ text|(?:word|token|character|length)\ limit(?:\ reached)?"
)
_WORDS = r"stop|done|finished|fin|finis|fine|fim|以上|truncated|continued|cut\ off"
"""They may also tell how a thing is: "A chair (finished)", "身長120cm（以上）"."""
_STOPS = rf"{_MARKS}|{_WORDS}"
_ROLES = r"(?:human|user|assistant|instructions?|response|system|question|answer|input|output|bot)"
_OPEN, _SHUT = r"[\[({<（【［〈]", r"[\])}>）】］〉]"
_ROUND = r"[(（]"
_WROTE = r"(?:generated|created|written|provided|produced|made)"
_BY_ITSELF = r"(?:ai|machine|auto(?:matically)?|computer)"
_MODEL = (
    r"(?:(?:an?|the|our)\ )?(?:ai|artificial|automatic|automated|machine|computer|language|vision"
    r"|large|deep|neural|image|caption\w*|gpt|model|multimodal|(?-i:[A-Z]))"
)
_MAKER = (
    r"(?:this\ )?(?:(?:image|photo|picture|alt)[ _-]?)?(?:caption|description|(?<=alt.)text)"
    rf"\ (?:was\ |is\ )?(?:(?:{_BY_ITSELF}[- ])?{_WROTE}(?:\ automatically)?"
    rf"\ (?:by|with|using|from)|by|via)\ {_MODEL}"
    rf"|(?:generated|captioned|described)\ (?:automatically\ )?(?:by|with|using|via)\ {_MODEL}"
    rf"|{_BY_ITSELF}[- ](?:generated|captioned|described|written)\b"
)
_ECHO = re.compile(rf"\W*(?:{_ROLES}|inst)\b[^\w\n]*(?:[:\]>\n]|\Z)", re.IGNORECASE)
"""The beginning of an answer that repeats its question: what comes last there is the caption."""
_SAID = re.compile(
    r"(?:\b(?:reads?|reading|says?|saying|spells?|labell?ed|marked|words?|text|letter(?:s|ing)?"
    r"|signs?|buttons?|keys?|press(?:es|ing)?|written|titled|named|called|inscription|inscribed"
    r"|labels?|fields?|columns?|headings?|captions?|displays?|displaying|shows?|showing|with|of|to"
    r"|the|an?|and|or|is|like|between|from|by|on|in|at|for|steht|liest|sagt|dit|dice|diz|lit"
    r"|aufschrift|mit|der|die|das|und"
    r"|надпись|надписью|слово|и)|[,:：;«“「『写寫着書れ与與と和])[\s\"'“”]*\Z",
    re.IGNORECASE,
)
"""After such words a bracket holds what the image shows: "a sign that reads [STOP]"."""
_PAIRED = re.compile(r"[(（][^()（）,，、;]{1,30}[)）][^.!?\n]{1,200}\Z")
"""An earlier bracket of the same sentence, as in "A rope from post (start) to post (end)"."""
_NAMED = re.compile(
    r"\b(?:(?:reads?|reading|says?|saying|titled?|headed|heading|labell?ed|captioned|entitled|called"
    r"|überschrift|titel|titre|título)\b|(?:table|figure|chapter|part|section|slide|page|appendix"
    r"|step|act|scene|episode|stage|level|lap|mile|station|stop|tabelle|abbildung|kapitel|tableau"
    r"|chapitre|tabla|figura|capítulo)\s+(?:\d|(?-i:[A-Z]\b|[IVXL]+\b)))[^.!?\n]{0,60}\Z",
    re.IGNORECASE,
)
"""A title or a number, which such a word may belong to: "the heading Results (end)"."""
_AFTER = r"(?:(?<=[.!?…。！？\"”»)\]])|\n)"
_SPEAKERS = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL | re.VERBOSE)
    for pattern in (
        # ### Instruction: and all that follows; ### alone
        rf"\s{{1,9}}\#{{2,6}}\s*(?:(?:{_ROLES}|end|stop|note)\b.*)?\Z",
        # <human>: and [USER] say who speaks next
        rf"\s{{1,9}}{_OPEN}/?{_ROLES}{_SHUT}\s*:.*\Z|\s{{0,9}}{_OPEN}/?{_ROLES}{_SHUT}\s*\Z",
        r"\s{1,9}(?-i:(?:\#{1,6}\s*)?(?:Human|User|Assistant|Instruction|Response|Question|Answer"
        r"|System|Input|Output|Bot|AI|GPT|Caption|Description|HUMAN|USER|ASSISTANT)\s*:)[\s*_]*\Z",
        rf"{_AFTER}\s{{0,9}}(?-i:Human|User|Assistant|Instruction|Response|HUMAN|USER|ASSISTANT)\s*:"
        r".*\Z",
    )
)
_RULE = r"[*_~=/\#—–-]{2,20}"
_FREE = r"[^.!?\n]{0,120}(?:\.\d[^.!?\n]{0,40}){0,3}[.]?\s*\Z"
"""The rest of a sentence, which may hold the number of a version."""
_ENDS = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL | re.VERBOSE)
    for pattern in (
        # [end of caption], <end of description>, (end), [/INST], {{END}}
        rf"\s{{0,9}}(?:(?!{_ROUND}){_OPEN}{{1,4}}[\s/|*_.-]{{0,4}}(?:{_ENDS_OF_TEXT}|{_STOPS})"
        rf"|{_AFTER}\s{{0,9}}{_ROUND}[\s*_.-]{{0,4}}(?:{_WORDS})"
        rf"|{_ROUND}{{1,4}}[\s/|*_.-]{{0,4}}(?:{_ENDS_OF_TEXT}|{_MARKS}))"
        rf"[\s|*_.!。-]{{0,4}}{_SHUT}{{1,4}}[\s.。*_]*\Z",
        # --- END ---, *end of caption*, == END ==, // END
        rf"\s{{1,9}}{_RULE}\s*(?:{_ENDS_OF_TEXT}|{_STOPS})\s*(?:{_RULE})?[\s.]*\Z",
        rf"\s{{1,9}}([*_~])(?:{_ENDS_OF_TEXT}|{_STOPS})[.!]?\1\s*\Z",
        # End of description. STOP
        rf"{_AFTER}\W{{0,9}}(?:(?:this|that)\ is\ |here\ )?(?:{_ENDS_OF_TEXT}"
        r"|(?-i:END|STOP|DONE|EOF|EOS|FIN|THE\ END))\W{0,9}\Z",
        # (Caption generated by BLIP), [AI-generated]
        rf"\s{{0,9}}{_OPEN}{{1,4}}\s*(?:{_MAKER})[^\[\](){{}}]{{0,120}}{_SHUT}{{1,4}}[\s.。]*\Z",
        rf"{_AFTER}\W{{0,9}}(?:{_MAKER}){_FREE}",
        rf"\s{{1,9}}[-–—|~]+\s*(?:{_BY_ITSELF}[- ])?(?:(?:image|alt)\ )?"
        rf"(?:caption|description|text)\ (?:{_WROTE}\ )?(?:by|with|using|via)\ {_FREE}",
    )
)
_BARE = re.compile(rf"\s*{_ROUND}(?:{_MARKS})\s?[)）]\s*", re.IGNORECASE | re.VERBOSE)
_MOST = 400
"""Characters at the end of a text that a tail is looked for in."""
_ROUNDS = 4


def without_tail(text: str) -> str:
    """The text without marks at its end; all of it where it holds nothing else."""
    for _ in range(_ROUNDS):
        shorter = _shorter(text)
        if shorter == text:
            break
        text = shorter
    return text


def is_tail(text: str) -> bool:
    """Whether a text holds nothing but such marks."""
    return without_tail(f"A. {text}") == "A."


def is_spoken(text: str) -> bool:
    """Whether a text names its speaker and goes on: "Assistant: A red vase"."""
    found = _ECHO.match(text)
    return found is not None and re.search(r"\w", text[found.end() :]) is not None


def _shorter(text: str) -> str:
    start = max(0, len(text) - _MOST)
    for form in (*_SPEAKERS, *_ENDS):
        speaks = form in _SPEAKERS
        found = form.search(text, 0 if speaks else start)
        before = text[: found.start()] if found else ""
        repeats = speaks and _ECHO.match(before)
        if re.search(r"\w", before) and not (repeats or _belongs(before, text[len(before) :])):
            return before.rstrip()
    return text


def _belongs(before: str, mark: str) -> bool:
    """Whether what looks like a mark is a part of the sentence before it."""
    if _SAID.search(before[-40:]):
        return True
    bare = _BARE.fullmatch(mark) and before[-1:] not in ".!?…。！？"
    return bool(bare and (_PAIRED.search(before[-300:]) or _NAMED.search(before[-100:])))
