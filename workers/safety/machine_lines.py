"""The lines of passports, visas and identity cards that machines read.

ICAO Doc 9303: two lines of 44 or 36 characters, or three of 30, with check digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_WEIGHTS = (7, 3, 1)
_QUOTES = dict.fromkeys(map(ord, "\u00ab\u2039\u3008\u300a\uff1c"), "<")
_DIGITS = str.maketrans("OIBSZGLDQ", "018526100")
"""What OCR reads for digits. Codes of countries hold letters, which it reads as digits too."""
_HEAD = re.compile(r"[PVIACL1|][A-Z0-9<][A-Z0-9<]{3}.*<|[A-Z0]+<<[A-Z0]+")
"""The first line, or that with the name."""
_DATES = r"([0-9OIBSZGLDQ]{6})([0-9OIBSZGLDQ])[MFX<]([0-9OIBSZGLDQ]{6})([0-9OIBSZGLDQ])"
_PASSPORT = re.compile(r"([A-Z0-9<]{9})(\w)[A-Z0-9<]{3}" + _DATES)
"""The second line of a passport or visa."""
_CARD = re.compile(_DATES + r"[A-Z0-9<]{3}")
"""The second line of an identity card."""
_SHORTEST = 18
"""OCR loses much of a row of <. So long are the dates and the country of an identity card."""


def has_machine_lines(lines: Iterable[str]) -> bool:
    """Whether lines of text hold machine-readable ones with two right check digits at least."""
    read = [_read(part) for line in lines for part in line.splitlines()]
    mrz = [line for line in read if len(line) >= _SHORTEST]
    for line in mrz:
        headed = any(_HEAD.match(other) for other in mrz if other is not line)
        for found in filter(None, (_PASSPORT.match(line), _CARD.match(line))):
            *number, born, born_digit, until, until_digit = found.groups()
            dates = _is_checked(born, born_digit) and _is_checked(until, until_digit)
            # Two dates alone may stand on anything. A document also has a first line or a number
            # with a right check digit.
            if dates and (headed or (number and _is_checked(*number))):
                return True
    return False


def _read(line: str) -> str:
    """The line without blanks, in capitals, with the quotes that OCR reads for <."""
    return re.sub(r"\s", "", line).upper().translate(_QUOTES)


def _is_checked(field: str, digit: str) -> bool:
    """Whether the digit checks the field, as it is or with letters that were read for digits."""
    wanted = digit.translate(_DIGITS)
    return any(
        str(sum(_value(each) * _WEIGHTS[at % 3] for at, each in enumerate(read)) % 10) == wanted
        for read in {field, field.translate(_DIGITS)}
    )


def _value(character: str) -> int:
    return 0 if character == "<" else int(character, 36)
