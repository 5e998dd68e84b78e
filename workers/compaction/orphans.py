"""Data objects that no manifest names: of writers that died before they could commit."""

from __future__ import annotations

from datetime import datetime

from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.layout import dataset_root
from kaption.objectstore.dataset.manifests import ManifestCache
from kaption.objectstore.patience import patiently


def find_orphans(objects: ObjectStore, prefix: str, before: datetime) -> list[str]:
    """Keys of the dataset's data objects that are older than `before` and not named.

    A younger one may be that of a writer that is about to name it.
    """
    root = dataset_root(prefix)
    # In this order: what was there when it was listed is named by now, or never.
    keys = patiently(lambda: list(objects.list(f"{root}data/")))
    manifests = patiently(ManifestCache(objects, prefix).read).values()
    named = {root + entry.key for manifest in manifests for entry in manifest.objects}
    return [key for key in keys if key not in named and _older(objects, key, before)]


def _older(objects: ObjectStore, key: str, before: datetime) -> bool:
    try:
        return patiently(lambda: objects.written_at(key)) <= before
    except KeyError:  # its writer deleted it
        return False
