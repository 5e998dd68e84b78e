"""The files beside the manifests that describe the dataset."""

from __future__ import annotations

import json
from typing import Any

from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.layout import Layout
from kaption.workers.origin.card import card
from kaption.workers.origin.croissant import croissant
from kaption.workers.origin.markdown import as_markdown

_MARKDOWN = "text/markdown"


def write_files(objects: ObjectStore, prefix: str, summary: dict[str, Any]) -> None:
    """Write the summary, the Croissant description and the card."""
    files = {
        "sources.json": (as_json(summary), "application/json"),
        "sources.md": (as_markdown(summary), _MARKDOWN),
        "croissant.json": (as_json(croissant(summary)), "application/ld+json"),
        "README.md": (card(summary), _MARKDOWN),
    }
    for name, (text, media_type) in files.items():
        objects.put(Layout(prefix).described(name), text.encode(), media_type=media_type)


def written_before(objects: ObjectStore, prefix: str) -> dict[str, Any] | None:
    """The summary that was written last; None where none was. Raises ValueError."""
    try:
        found: dict[str, Any] = json.loads(objects.get(Layout(prefix).described("sources.json")))
    except KeyError:
        return None
    return found


def as_json(data: dict[str, Any]) -> str:
    """The text of a file that people may read, too."""
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"
