"""The dataset card: README.md with the front matter that the Hugging Face hub reads.

https://huggingface.co/docs/hub/datasets-cards lists its fields.
"""

from __future__ import annotations

import json
import re
from typing import Any

from kaption.objectstore.dataset.layout import TABLES
from kaption.workers.origin.markdown import escaped

_SIZES = ["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B"]
_SIZES += ["1B<n<10B", "10B<n<100B", "100B<n<1T", "n>1T"]
_LANGUAGE = re.compile(r"[a-z]{2,3}")


def card(summary: dict[str, Any]) -> str:
    """The card as text."""
    languages = {row["language"] or "" for row in summary["text"]["languages"]}
    subtags = {language.partition("-")[0].lower() for language in languages}
    licences = [row["licence"] for row in summary["licences"]]
    # The hub takes names of its own list alone; ours are as the pages have them.
    licence = "other" if any(licences) else "unknown"
    front = {
        "pretty_name": summary["dataset"],
        "license": licence,
        "language": sorted(filter(_LANGUAGE.fullmatch, subtags)),
        "size_categories": [_size(summary["pairs"])],
        "task_categories": ["image-to-text", "text-to-image"],
        "tags": ["kaption", "webdataset"],
        "configs": [{"config_name": "default", "data_files": TABLES}],
    }
    if licence == "other":
        front["license_name"] = "several"
        front["license_link"] = "sources.md"
    # JSON is YAML, and needs no library.
    lines = [f"{key}: {json.dumps(value)}" for key, value in front.items()]
    kinds: dict[str, int] = {}
    for row in summary["captions"]:
        kinds[row["kind"]] = kinds.get(row["kind"], 0) + row["captions"]
    written = ", ".join(f"{number:,} {escaped(kind)}" for kind, number in sorted(kinds.items()))
    return "\n".join(
        [
            "---",
            *lines,
            "---",
            f"\n# {escaped(summary['dataset'])}\n",
            f"{summary['pairs']:,} image-text pairs from {summary['domains']['all']:,} domains, "
            f"aligned by Kaption. Captions: {written or 'none'}.\n",
            "Each shard is a WebDataset tar with a Parquet table beside it. Shards that were "
            "merged stay for a while: the manifests name those that count, and the takedowns say "
            "which pairs may no longer be used.\n",
            "[sources.md](sources.md) says where the pairs come from, and "
            "[croissant.json](croissant.json) describes the columns.",
            "",
        ]
    )


def _size(pairs: int) -> str:
    power = max(0, len(str(pairs)) - 3)
    return _SIZES[min(power, len(_SIZES) - 1)]
