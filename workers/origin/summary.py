"""The summary of a dataset as the European Commission's template for training content asks."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kaption.objectstore.dataset.counting import OTHERS
from kaption.schemas import Reason
from kaption.schemas.counts import Refusals, Tally
from kaption.workers.origin.holdings import Holdings

TEMPLATE = (
    "Template for the Public Summary of Training Content for general-purpose AI models, "
    "Article 53(1)(d) of Regulation (EU) 2024/1689, Commission communication C(2025) 8311 of "
    "5 December 2025 (first published on 24 July 2025)"
)
CHARS_PER_TOKEN = 4
"""For the template's size ranges of text, which are in tokens. An estimate for English."""
_IMAGES = ((10**6, "less than 1 million images"), (10**9, "1 million to 1 billion images"))
_TOKENS = ((10**9, "less than 1 billion tokens"), (10**13, "1 billion to 10 trillion tokens"))


@dataclass(frozen=True, slots=True)
class Context:
    """What no counter knows."""

    name: str
    """The dataset's prefix."""
    made_at: datetime
    user_agent: str
    """What the ingest stage calls itself when it fetches images."""
    small_provider: bool
    """Whether the provider is an SME, which lists fewer domains."""
    refusals: Refusals | None


def summary(holdings: Holdings, context: Context) -> dict[str, Any]:
    """The summary as plain data. Names that are not known are null; shares are of the size."""
    counts = holdings.counts
    chars = sum(size for _, size in counts.languages.values())
    refusals = context.refusals
    return {
        "template": TEMPLATE,
        "dataset": context.name,
        "made_at": context.made_at.isoformat(timespec="seconds"),
        "small_provider": context.small_provider,
        "pairs": counts.pairs,
        "exact": not (holdings.inexact or holdings.damaged),
        "partitions_not_exact": holdings.inexact,
        "damaged": list(holdings.damaged),
        "images": {
            "pairs": counts.pairs,
            "bytes": sum(size for _, size in counts.media_types.values()),
            "range": _range(counts.pairs, _IMAGES, "more than 1 billion images"),
            "media_types": _rows(counts.media_types, "media_type", "pairs", "bytes"),
        },
        "text": {
            "captions": sum(number for number, _ in counts.languages.values()),
            "characters": chars,
            "range": _range(chars // CHARS_PER_TOKEN, _TOKENS, "more than 10 trillion tokens"),
            "languages": _rows(counts.languages, "language", "captions", "characters"),
        },
        "crawls": _crawls(counts.months),
        "fetcher": context.user_agent,
        "domains": _domains(counts.domains, small_provider=context.small_provider),
        "licences": _rows(counts.licences, "licence", "pairs", "bytes"),
        "captions": _captions(counts.captions),
        "opt_outs": {
            "honoured": None if refusals is None else _honoured(refusals),
            "kept": _rows(counts.opt_outs, "kind", "pairs", "bytes"),
        },
        "rejected": None if refusals is None else refusals.reasons,
        "rejected_until": None if refusals is None else refusals.counted_at.isoformat(),
        "takedowns": holdings.takedowns,
        "audit": {state: number for state, (number, _) in sorted(counts.audits.items())},
    }


def _range(number: int, ranges: tuple[tuple[int, str], ...], otherwise: str) -> str:
    return next((words for below, words in ranges if number < below), otherwise)


def _rows(tally: Tally, key: str, number: str, size: str) -> list[dict[str, Any]]:
    """The largest first."""
    whole = sum(each for _, each in tally.values())
    return [
        {key: name or None, number: count, size: amount, "share": _share(amount, whole)}
        for name, (count, amount) in sorted(tally.items(), key=_by_size)
    ]


def _by_size(item: tuple[str, tuple[int, int]]) -> tuple[int, str]:
    return -item[1][1], item[0]


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0


def _crawls(months: Tally) -> list[dict[str, Any]]:
    """Each crawl with its period, from the pairs that say when they were found."""
    crawls: defaultdict[str, Tally] = defaultdict(dict)
    for name, counted in months.items():
        source, _, month = name.rpartition(" ")
        crawls[source][month] = counted
    sums = {
        source: (sum(pairs for pairs, _ in each.values()), sum(size for _, size in each.values()))
        for source, each in crawls.items()
    }
    rows = _rows(sums, "crawl", "pairs", "bytes")
    for row in rows:
        known = sorted(filter(None, crawls[row["crawl"] or ""]))
        row["from"], row["to"] = (known[0], known[-1]) if known else (None, None)
    return rows


def _domains(domains: Tally, *, small_provider: bool) -> dict[str, Any]:
    """The domains that the template asks for, by the size of their images.

    Providers list the top 10 % of all domains; SMEs the top 5 % or 1,000, whichever is lower.
    """
    named = {name: sums for name, sums in domains.items() if name not in ("", OTHERS)}
    listed = math.ceil(len(named) * (0.05 if small_provider else 0.1))
    rule = "top 5 % or 1,000, for SMEs" if small_provider else "top 10 %"
    return {
        "all": len(named),
        "rule": f"{rule}, by the size of the images",
        "pairs_without": domains.get("", (0, 0))[0],
        "top": _rows(named, "domain", "pairs", "bytes")[
            : min(listed, 1000) if small_provider else listed
        ],
    }


def _honoured(refusals: Refusals) -> dict[str, int]:
    """Pairs left out by the kind of the signal; `kaption run` counts reasons alone."""
    reasons = refusals.reasons.items()
    number = sum(count for name, count in reasons if name.endswith(f".{Reason.OPTED_OUT.value}"))
    return refusals.opt_outs or ({"any kind": number} if number else {})


def _captions(captions: Tally) -> list[dict[str, Any]]:
    rows = _rows(captions, "writer", "captions", "characters")
    for row in rows:
        parts = json.loads(row.pop("writer"))
        row |= dict(
            zip(("kind", "model", "revision"), (part or None for part in parts), strict=True)
        )
    return rows
