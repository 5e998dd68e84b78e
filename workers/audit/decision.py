"""What a person decides about a pair, and what becomes of the pair."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from kaption.schemas import Audit, AuditState, Caption, CaptionKind, CleanPair
from kaption.schemas.limits import CAPTIONS, DETAIL_CHARS, TEXT_CHARS
from kaption.workers.checks.check import NO_MASKS, Masks
from kaption.workers.runtime.stage import Reject
from kaption.workers.text.characters import single_spaces, strip_invisible


class Verdict(StrEnum):
    """What a person may decide."""

    ACCEPT = "accept"
    EDIT = "edit"
    REJECT = "reject"
    UNDO = "undo"


_STATES = {
    Verdict.ACCEPT: AuditState.ACCEPTED,
    Verdict.EDIT: AuditState.CORRECTED,
    Verdict.REJECT: AuditState.REFUSED,
    Verdict.UNDO: AuditState.SAMPLED,
}


class UnusableText(ValueError):
    """A person's text cannot be a caption. The message says why."""


def judged(
    pair: CleanPair,
    verdict: Verdict,
    by: str,
    at: datetime,
    *,
    text: str = "",
    note: str = "",
    masks: Masks = NO_MASKS,
) -> CleanPair:
    """The pair as pairs.audited holds it: as it was shown, with the decision.

    A corrected pair has the person's text first, then the captions that were shown. A text that
    only repeats the best caption accepts it. Raises UnusableText.
    """
    captions = pair.captions
    if verdict is Verdict.EDIT:
        written = _caption(text, masks)
        if written.text == captions[0].text:
            verdict = Verdict.ACCEPT
        else:
            captions = (written, *captions)[:CAPTIONS]
    audit = Audit(state=_STATES[verdict], by=by, at=at, note=note.strip()[:DETAIL_CHARS])
    return pair.model_copy(update={"captions": captions, "audit": audit})


def shown(decision: CleanPair) -> Caption:
    """The caption that the person judged."""
    corrected = decision.audit.state is AuditState.CORRECTED
    return decision.captions[1 if corrected and len(decision.captions) > 1 else 0]


def resolved(standing: Sequence[CleanPair]) -> CleanPair | None:
    """The decision that holds for the pair: a refusal before the newest correction.

    None: nobody has changed the pair. One refusal is enough, because a wrong pair costs more than
    a missing one.
    """
    for state in (AuditState.REFUSED, AuditState.CORRECTED):
        found = [each for each in standing if each.audit.state is state]
        if found:
            return max(found, key=lambda each: str(each.audit.at))
    return None


def superseding(sample: CleanPair, holds: CleanPair | None, version: int) -> CleanPair:
    """The next version of the pair on pairs.clean: with the person's text alone, or as it was."""
    if holds is None:
        return sample.model_copy(update={"version": version, "audit": Audit()})
    update = {"captions": holds.captions[:1], "audit": holds.audit, "version": version}
    return sample.model_copy(update=update)


def _caption(text: str, masks: Masks) -> Caption:
    """Raises UnusableText."""
    cleaned = single_spaces(strip_invisible(unicodedata.normalize("NFC", text)))
    if not cleaned:
        raise UnusableText("the text is empty: write one, or reject the pair")
    if len(cleaned) > TEXT_CHARS:
        raise UnusableText(f"the text has {len(cleaned)} characters: write at most {TEXT_CHARS}")
    try:
        kept, masked = masks.text(cleaned)
    except Reject as reject:
        told = f"the text has personal data ({reject.detail}), which the settings refuse"
        raise UnusableText(told) from reject
    if not kept:
        raise UnusableText("nothing of the text is left after it was masked")
    return Caption(text=kept, kind=CaptionKind.HUMAN, masked=masked)
