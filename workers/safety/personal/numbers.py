"""Numbers of cards and bank accounts, by their check digits."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kaption.workers.safety.personal.folded import Span

CARD_MARK = "[card]"
IBAN_MARK = "[IBAN]"

_CARD = re.compile(r"(?<![\w.,+-])\d(?:[ .-]?\d){11,18}(?![\w]|[.,-]\d)")
# Lengths and first digits of the card networks: a product number with a right Luhn digit is rare
# among them. Groups as they are printed on cards, or none.
_NETWORKS = re.compile(
    r"(?:4\d{15}|4\d{18}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}"
    r"|62\d{14,17}|(?:50|5[6-9]|6[37])\d{14}|220[0-4]\d{12}|9792\d{12})"
)
_GROUPS = re.compile(r"\d{13,19}|\d{4}(?:([ .-])\d{4})(?:\1\d{1,4}){1,3}|\d{4}([ -])\d{6}\2\d{4,5}")
_IBAN = re.compile(r"(?<![^\W_])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}")
_SHORTEST_IBAN = 15


def find_cards(text: str) -> Iterator[Span]:
    """Where payment cards' numbers are in a folded text."""
    from stdnum import luhn

    for found in _CARD.finditer(text):
        digits = re.sub(r"\D", "", found[0])
        if _GROUPS.fullmatch(found[0]) and _NETWORKS.fullmatch(digits) and luhn.is_valid(digits):
            yield found.span()


def find_ibans(text: str) -> Iterator[Span]:
    """Where international bank account numbers are in a folded text."""
    for found in _IBAN.finditer(text):
        # Words behind a number may look like a part of it: the longest valid beginning counts.
        ends = [at + 1 for at, each in enumerate(found[0]) if each.isalnum()]
        for end in reversed(ends[_SHORTEST_IBAN - 1 :]):
            if _is_iban(found[0][:end]):
                after = text[found.start() + end : found.start() + end + 1]
                if not after.isalnum():
                    yield found.start(), found.start() + end
                    break


def _is_iban(number: str) -> bool:
    from stdnum import exceptions, iban

    try:
        # Lists of a country's banks are never complete.
        iban.validate(number, check_country=False)
    except exceptions.ValidationError:
        return False
    return True
