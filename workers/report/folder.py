"""The report of a run, from what its folder holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kaption.objectstore import ObjectStore, open_store
from kaption.objectstore.blobs import blob_key
from kaption.objectstore.dataset.takedowns import Takedowns
from kaption.workers.report.gallery import Card, read_cards
from kaption.workers.report.page import ReportContent, ReportPage, render
from kaption.workers.settings import Settings, UserError
from kaption.workers.stores.answers import Answers
from kaption.workers.stores.client import keyspace

SAMPLE = "sample.jsonl"
"""In the folder of a run: the pairs that its report shows."""
PAIRS = 300
"""Pairs that a report shows."""
_NO_CARDS = "The pairs of this run were not kept: there is no sample.jsonl."


def run_report(out: Path, settings: Settings) -> ReportPage:
    """The page of a finished run. Raises UserError, Retry, Fatal, ModuleNotFoundError."""
    from jinja2 import UndefinedError

    path = out / "summary.json"
    if not path.is_file():
        why = "an interrupted run" if (out / "run.json").is_file() else "no run"
        raise UserError(f"{out} holds {why}: a report needs a finished run, with summary.json")
    try:
        numbers: dict[str, Any] = json.loads(path.read_text("utf-8"))
        dataset = numbers["dataset"]
        cards = list(read_cards(out / SAMPLE)) if (out / SAMPLE).is_file() else []
        store = settings.store.model_copy(update={"url": dataset["store"] or str(out / "store")})
        objects = open_store(store)
        finished = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        content = ReportContent(
            title=f"{numbers['clean']:,} of {numbers['published']:,} pairs were kept",
            at=f"Run in {out.resolve().name}, ended {finished:%d %B %Y at %H:%M} UTC",
            numbers=numbers,
            cards=standing(cards, Takedowns(objects, dataset["prefix"])),
            notes=() if cards else (_NO_CARDS,),
        )
        return render(content, stored(objects), store.url)
    except (ValueError, LookupError, TypeError, AttributeError, UndefinedError) as error:
        raise UserError(
            f"{out} holds a run of another version of kaption, or files that were changed"
            f" ({type(error).__name__}: {error}): make it with that version, or run again"
        ) from error


def write_whole(path: Path, text: str) -> None:
    """Write the file whole or not at all: a full disk keeps the earlier one."""
    new = path.with_suffix(".new")
    try:
        new.write_text(text, "utf-8", "backslashreplace")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def stored(objects: ObjectStore) -> Callable[[str], bytes | None]:
    """Gives the bytes of a stored image by its sha256; None where there are none."""

    def image(sha256: str) -> bytes | None:
        try:
            return objects.get(blob_key(sha256))
        except KeyError:
            return None

    return image


def standing(cards: Sequence[Card], takedowns: Takedowns) -> list[Card]:
    """The cards without those that a takedown covers."""
    return [
        card
        for card in cards
        if not card.outcome.endswith(".taken_down") and not takedowns.hold(card.rules)
    ]


def with_copies(cards: Sequence[Card], settings: Settings) -> list[Card]:
    """The cards of copies with their own images, which Redis remembers for a day. Raises Retry.

    A copy that came inline has none: ingest remembers only what an address gave.
    """
    answers = Answers(*keyspace(settings.redis), ttl_s=settings.ingest.answers_ttl_s)
    wanted = [card.origin for card in cards if card.copy_of and card.blob is None]
    found = dict(zip(wanted, answers.images(wanted), strict=True))
    return [
        replace(card, blob=found[card.origin])
        if card.blob is None and card.origin in found
        else card
        for card in cards
    ]
