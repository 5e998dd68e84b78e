"""Counting pairs: rows of tables, and counters that are there already."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from kaption.schemas.address import host_of
from kaption.schemas.counts import Counts, Tally

DOMAINS = 1_000_000
"""Names of one kind in counters that were added up; see `Counting.total`."""
OTHERS = "(others)"
"""Stands for the smallest, where there are more than `DOMAINS` names."""
COLUMNS = ["offset", "media_type", "bytes", "language", "detected_language", "source", "licence"]
COLUMNS += ["fetched_at", "image_url", "page_url", "audit_state", "opt_out.list.element.kind"]
COLUMNS += [f"captions.list.element.{name}" for name in ("text", "kind", "model", "revision")]
"""What is counted of a table."""


class Counting:
    """Adds up rows of tables and the counters of shards."""

    def __init__(self) -> None:
        self._pairs = 0
        self._tallies: dict[str, dict[str, list[int]]] = {
            name: {} for name in Counts.model_fields if name != "pairs"
        }

    def add_row(self, row: dict[str, Any]) -> dict[str, Any]:
        """Count a sample, given as the columns of its table. Returns the row."""
        self._pairs += 1
        fetched, size = row["fetched_at"], row["bytes"]
        month = "" if fetched is None else fetched.astimezone(UTC).isoformat()[:7]
        url = row.get("image_url") or row["page_url"]
        language = row.get("detected_language") or row["language"] or ""
        for name, key in (
            ("media_types", row["media_type"]),
            ("months", f"{row['source'] or ''} {month}"),
            ("domains", host_of(url) if url else ""),
            ("licences", row["licence"] or ""),
            ("audits", row["audit_state"]),
            *(("opt_outs", kind) for kind in {each["kind"] for each in row["opt_out"]}),
        ):
            self._add(name, key, 1, size)
        for caption in row["captions"]:
            writer = [caption[part] or "" for part in ("kind", "model", "revision")]
            chars = len(caption["text"])
            self._add("languages", language, 1, chars)
            self._add("captions", json.dumps(writer), 1, chars)
        return row

    def add(self, counts: Counts) -> None:
        """Add the counters of a shard or of several."""
        self._pairs += counts.pairs
        for name in self._tallies:
            for key, (number, size) in getattr(counts, name).items():
                self._add(name, key, number, size)

    def remove(self, counts: Counts) -> None:
        """Take away what was added before. Wrong where `total` has put names into `OTHERS`."""
        self._pairs -= counts.pairs
        for name, tally in self._tallies.items():
            for key, (number, size) in getattr(counts, name).items():
                self._add(name, key, -number, -size)
                if not tally[key][0]:
                    del tally[key]

    def total(self) -> Counts:
        """The sums. More than `DOMAINS` names become `DOMAINS` and `OTHERS`: the largest stay."""
        tallies = {name: _bounded(tally) for name, tally in self._tallies.items()}
        return Counts(pairs=self._pairs, **tallies)

    def _add(self, name: str, key: str, number: int, size: int) -> None:
        sums = self._tallies[name].setdefault(key, [0, 0])
        sums[0] += number
        sums[1] += size


def _bounded(tally: Mapping[str, Sequence[int]]) -> Tally:
    names = sorted(tally)
    if len(names) > DOMAINS:
        # `OTHERS` is no name: it holds the names that earlier bounds have left out.
        names = sorted(tally.keys() - {OTHERS}, key=lambda name: (-tally[name][1], name))
        names = sorted(names[:DOMAINS])
    kept = {name: (tally[name][0], tally[name][1]) for name in names}
    if rest := [sums for name, sums in tally.items() if name not in kept]:
        kept[OTHERS] = (sum(each[0] for each in rest), sum(each[1] for each in rest))
    return kept
