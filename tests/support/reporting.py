"""Outcomes with texts that attack a page, and the page of a report in Chromium."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from kaption.objectstore.blobs import BlobStore
from kaption.schemas import (
    Caption,
    CaptionerResult,
    CaptionerUse,
    CaptionKind,
    CheckResult,
    CleanPair,
    DeadLetter,
    Position,
    Provenance,
    Reason,
    RejectedPair,
    StageTrace,
)
from support.stream_records import imaged

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
ATTACKS = (
    "</script><script>document.title='owned'</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }} {% raw %}",
    "\u202eright to left\u202c שלום العربية",
    "w" * 5000,
    "\u0000\ud7ff\ufffe line\u2028separator",
    "</style><style>*{display:none}</style>",
    "]]><!-- <svg onload=alert(1)>",
    "javascript:alert(1)",
)


def kept(blobs: BlobStore, number: int, text: str = "a red square", **changed: object) -> CleanPair:
    """A clean pair whose caption a model wrote, with all traces."""
    checks = (CheckResult(name="length", passed=True), CheckResult(name=text[:20], passed=False))
    caption = Caption(text=text, kind=CaptionKind.VLM, model=text[:50], score=0.61, checks=checks)
    use = CaptionerUse(captioner="openai", result=CaptionerResult.ASKED, input_tokens=10, cost=0.25)
    at = NOW + timedelta(seconds=number)
    stages = [
        _trace("ingest", at),
        _trace("score", at, threshold=0.2 + number / 1000),
        _trace("recaption", at, captioners=(use,)),
        _trace("select", at, threshold=0.3),
    ]
    fields = {
        "captions": (caption, caption.model_copy(update={"kind": CaptionKind.ORIGINAL})),
        "original_score": -0.13,
        "provenance": Provenance(stages=tuple(stages)),
        "source": text[:200],
        "licence": text[:200],
        "clean_text": text,
        "page_url": "http://example.org/page",
    }
    return imaged(blobs, number, 0, **fields | changed).record


def refused(pair: CleanPair, name: str, reason: Reason, detail: str = "") -> RejectedPair:
    """A rejection of ingest."""
    image = {"url": "http://example.org/a.jpg"}
    return RejectedPair(
        pair_id=name,
        stage="ingest",
        reason=reason,
        detail=detail,
        rejected_at=NOW,
        record_schema="RawPair/1",
        record={"pair_id": name, "text": pair.clean_text, "image": image, "source": "s"},
    )


def died(text: str) -> DeadLetter:
    """A dead letter."""
    return DeadLetter(
        topic="pairs.raw",
        partition=0,
        offset=9,
        timestamp_ms=0,
        key=text[:100].encode(),
        value=text.encode(),
        stage="ingest",
        error=text[:500],
        attempts=1,
        died_at=NOW,
    )


def owner(pair: CleanPair) -> Position:
    """The origin of a pair."""
    return Position.parse(pair.dedup.owner)


def told(page: str) -> dict[str, float]:
    """The numbers that a page shows, as summary.json names them."""
    number = r'data-(?:number|reason|kind-count)="([^"]+)">([^<]+)<'
    return {name: float(value.replace(",", "")) for name, value in re.findall(number, page)}


def agrees(page: str, summary: Mapping[str, Any]) -> bool:
    """Whether a page shows the numbers of a summary."""
    wanted = {
        "total": summary["flow"][0]["came"],
        "clean": summary["clean"],
        "rejected": sum(summary["rejected"].values()),
        "dead": sum(summary["dead"].values()),
        **summary["rejected"],
        **summary["best_caption"],
    }
    if summary["score_before"] is not None:
        wanted |= {name: round(summary[name], 3) for name in ("score_before", "score_after")}
    return told(page) == wanted


@contextmanager
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None and not os.environ.get("CI"):
        pytest.skip("Debian's package chromium is not installed")
    with sync_playwright() as playwright:
        # Chromium's own sandbox refuses to run as root, as containers do.
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


def opened(browser: Browser, path: Path, faults: list[str], **context: Any) -> Page:
    """The page in a context of its own; what its console tells goes to `faults`."""
    page = browser.new_context(**context).new_page()
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda it: faults.extend([it.url] * it.url.startswith("http")))
    page.set_default_timeout(60_000)
    page.goto(path.as_uri())
    return page


def _trace(stage: str, at: datetime, **changed: object) -> StageTrace:
    fields = {"stage": stage, "software": "kaption/0", "config_hash": "0" * 16, "seconds": 0.1}
    return StageTrace.model_validate({**fields, "finished_at": at, **changed})
