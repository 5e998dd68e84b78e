"""Puts a mark in the place of personal data, or refuses the text, as the policy says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from kaption.schemas import Reason
from kaption.workers.runtime.stage import Reject
from kaption.workers.safety.personal import address, email, national, numbers, telephone
from kaption.workers.safety.personal.folded import Span, folded, merged
from kaption.workers.safety.policy import PersonalDataPolicy

_KINDS: Mapping[str, tuple[str, Callable[[str], Iterator[Span]]]] = {
    # Longer numbers first: parts of them look like telephone numbers.
    "email": (email.MARK, email.find),
    "iban": (numbers.IBAN_MARK, numbers.find_ibans),
    "card": (numbers.CARD_MARK, numbers.find_cards),
    "national_id": (national.MARK, national.find),
    "telephone": (telephone.MARK, telephone.find),
    "address": (address.MARK, address.find),
}


class PersonalMask:
    """Masks one kind of personal data. Any thread may call it."""

    def __init__(self, name: str, *, refuse: bool = False) -> None:
        self.name = name
        self._refuse = refuse
        self._mark, self._find = _KINDS[name]

    def mask(self, text: str) -> str:
        """The text with a mark in the place of each find. Raises Reject if it is to be refused."""
        spans = merged(self._find(folded(text)))
        if spans and self._refuse:
            raise Reject(Reason.PERSONAL_DATA, self._mark)
        for start, end in reversed(spans):
            text = text[:start] + self._mark + text[end:]
        return text


def personal_masks(policy: PersonalDataPolicy) -> list[PersonalMask]:
    """The masks of personal data that the policy does not switch off."""
    wanted = {name: getattr(policy, name) for name in _KINDS}
    return [
        PersonalMask(name, refuse=what == "refuse")
        for name, what in wanted.items()
        if what != "off"
    ]
