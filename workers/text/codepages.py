"""Repairs texts that were read in a wrong encoding, where ftfy does not, and styled letters.

A repair must be beyond doubt, for a short sound text may be valid in another encoding: the Thai
for "red car" is UTF-8 in cp874, and so are the Russian for "crayfish, catfish" in cp866 and the
Urdu for "fire" in cp1256. cp874 is not among the encodings: it lacks half of the bytes of UTF-8.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

# A lower-case letter behind \n may be the rest of a word of a path: \new.
_SLASHED = re.compile(r"(?:\\u[0-9A-Fa-f]{4})+|\\x[0-9A-Fa-f]{2}|\\[nrt](?![a-z])|\\['\"/](?!\\)")
_PERCENT = re.compile(r"(?:%[C-F][0-9A-F](?:%[89AB][0-9A-F]){1,3})+", re.IGNORECASE)
_PARTED = re.compile(r"\s|://|\.\w{3,4}$|^(?!.*%(?:20|7b))", re.IGNORECASE | re.DOTALL)
_LEAST = 4
_LEAST_CYRILLIC = 6
_KANA = re.compile("[\u3040-\u30ff]")
_HAN_ONWARDS = "\u2fff"
# Mathematical letters, letters in circles and squares, and letters and digits of another width.
# Not its punctuation, which is right in Chinese.
_STYLED = re.compile(
    "[\U0001d400-\U0001d7ff\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\uff66-\uff9f]+"
    "|[\u24b6-\u24e9]{3,}|[\U0001f130-\U0001f149]{3,}"
)
# Encodings that UTF-8 is misread in: of one byte, and of two bytes, which give Han alone.
_SINGLE = ("cp1256", "koi8-r", "cp866", "cp1255")
_DOUBLE = ("gb18030", "cp949", "cp932", "big5")
_WORD = re.compile(r"[^\W\d_]+")
_VOWELS = frozenset("аеиоуыэюяёіїє")
_MOST_DIFFERENT = 0.8
"""Share of different letters, above which letters are a list, such as those with accents."""
_LEAST_VOWELS = 0.25
# Places where only an apostrophe can be missing. Elsewhere it may be a letter, as in French tr_s.
_LOST_APOSTROPHE = re.compile(
    r"(?<=n)\ufffd+(?=t\b)"
    r"|(?:(?<=\bi)|(?<=\b(?:it|he|we))|(?<=\b(?:she|you|who))|(?<=\b(?:they|that|what)))"
    r"\ufffd+(?=(?:s|re|ll|ve|d|m)\b)",
    re.IGNORECASE,
)
_LOST_LETTER = re.compile(r"\w\ufffd+\w")
_SPACELESS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_MOST_LOST = 0.25
"""Share of words with a lost letter above which a text is no text any more."""


def unescaped(text: str) -> str:
    """The text without the escapes of JSON, JavaScript and URLs, which a crawler did not undo."""
    if "\\" in text:
        text = _SLASHED.sub(_letters, text)
    if "%" in text:
        text = _PERCENT.sub(_utf8, text)
        # Where blanks are escaped, none is left. File names and links have rules of their own.
        if not _PARTED.search(text):
            text = unquote(text)
    return text


def _letters(found: re.Match[str]) -> str:
    given = found[0]
    if given[1] == "u":
        units = b"".join(bytes.fromhex(each) for each in given[2:].split("\\u"))
        return units.decode("utf-16-be", "replace")
    return chr(int(given[2:], 16)) if given[1] == "x" else " " if given[1] in "nrt" else given[1]


def _utf8(found: re.Match[str]) -> str:
    plain = unquote(found[0])
    return found[0] if "\ufffd" in plain else plain


def plain_letters(text: str) -> str:
    """Letters without style and width."""
    return _STYLED.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)


def reread(text: str) -> str:
    """The text as it was written, if it was read in a wrong encoding without a doubt."""
    signs = [sign for sign in text if not sign.isspace()]
    foreign = sum(not sign.isascii() for sign in signs)
    if foreign < _LEAST or 2 * foreign < len(signs):
        return text
    return next(_readings(text), text)


def without_lost_letters(text: str) -> str:
    """The text with apostrophes for lost ones; empty if a letter is lost in many of its words.

    In scripts without spaces each letter counts as a word.
    """
    if "\ufffd" not in text:
        return text
    text = _LOST_APOSTROPHE.sub("\u2019", text)
    words = _SPACELESS.sub(" x ", text.replace("\ufffd", "")).split()
    lost = len(_LOST_LETTER.findall(text))
    return "" if lost > _MOST_LOST * len(words) else text


def _readings(text: str) -> Iterator[str]:
    # In these encodings some of UTF-8's later bytes are symbols, which words do not have.
    if any(unicodedata.category(sign)[0] == "S" for sign in text if not sign.isascii()):
        yield from filter(_is_printable, (_recoded(text, codec, "utf-8") for codec in _SINGLE))
    for codec in _DOUBLE:
        found = _recoded(text, codec, "utf-8")
        if _is_han_onwards(found):
            yield found
    for codec in ("latin-1", "sloppy-windows-1252"):
        found = _recoded(text, codec, "cp932")
        if _KANA.search(found) and _is_han_onwards(found):
            yield found
        found = _recoded(text, codec, "cp1251")
        if _is_cyrillic(found):
            yield found


def _is_printable(text: str) -> bool:
    return bool(text) and all(sign.isprintable() or sign.isspace() for sign in text)


def _is_han_onwards(text: str) -> bool:
    return _is_printable(text) and all(
        sign.isascii() or sign.isspace() or sign > _HAN_ONWARDS for sign in text
    )


def _is_cyrillic(text: str) -> bool:
    """Whether its words have the case and the vowels of Cyrillic ones.

    All letters of words in a wrong encoding are foreign. Those of a Western language are so only
    in lists of letters, which name each once.
    """
    words = [word for word in _WORD.findall(text) if not word.isascii()]
    letters = "".join(words)
    vowels = sum(letter in _VOWELS for letter in letters.lower())
    return (
        len(letters) >= _LEAST_CYRILLIC
        and all("\u0400" <= letter <= "\u04ff" for letter in letters)
        and all(word[1:].islower() or word.isupper() or len(word) == 1 for word in words)
        and len(set(letters)) <= _MOST_DIFFERENT * len(letters)
        and vowels >= _LEAST_VOWELS * len(letters)
    )


def _recoded(text: str, read: str, written: str) -> str:
    from ftfy import bad_codecs

    bad_codecs.ok()  # it registers sloppy-windows-1252
    try:
        return text.encode(read).decode(written)
    except UnicodeError:
        return ""
