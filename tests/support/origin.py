"""Counting a data set by reading every table, with none of the code that keeps counters."""

from collections import Counter
from typing import Any
from urllib.parse import urlsplit

from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.objects import read_rows
from kaption.objectstore.store import ObjectStore


def counted(
    objects: ObjectStore, taken_down: frozenset[str] = frozenset(), prefix: str = "dataset"
) -> dict[str, dict[str, tuple[int, int]]]:
    """Return what readers get, without pairs whose id is in `taken_down`."""
    newest: dict[str, dict[str, Any]] = {}
    for manifest in read_manifests(objects, prefix):
        for row in read_rows(objects, prefix, manifest):
            old = newest.get(row["pair_id"])
            if old is None or (old["version"], old["offset"]) < (row["version"], row["offset"]):
                newest[row["pair_id"]] = row
    rows = [row for pair_id, row in newest.items() if pair_id not in taken_down]
    captions = [(row, caption) for row in rows for caption in row["captions"]]
    return {
        "media_types": _sums((row["media_type"], row["bytes"]) for row in rows),
        "domains": _sums((_host(row), row["bytes"]) for row in rows),
        "licences": _sums((row["licence"] or "", row["bytes"]) for row in rows),
        "months": _sums((_month(row), row["bytes"]) for row in rows),
        "opt_outs": _sums(
            (kind, row["bytes"]) for row in rows for kind in {s["kind"] for s in row["opt_out"]}
        ),
        "languages": _sums(
            (row["detected_language"] or row["language"] or "", len(caption["text"]))
            for row, caption in captions
        ),
        "audits": _sums((row["audit_state"], row["bytes"]) for row in rows),
    }


def _sums(items: Any) -> dict[str, tuple[int, int]]:
    numbers: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for name, size in items:
        numbers[name] += 1
        sizes[name] += size
    return {name: (numbers[name], sizes[name]) for name in numbers}


def _host(row: dict[str, Any]) -> str:
    return urlsplit(row["image_url"] or row["page_url"] or "").hostname or ""


def _month(row: dict[str, Any]) -> str:
    found = row["fetched_at"]
    return f"{row['source'] or ''} {found.strftime('%Y-%m') if found else ''}"
