"""Where everything of a dataset lies below its prefix: each key is made here and nowhere else."""

from __future__ import annotations

from kaption.schemas import Takedown


def dataset_root(prefix: str) -> str:
    """What every key of the dataset begins with."""
    return f"{prefix}/" if prefix else ""


def takedown_key(takedown: Takedown) -> str:
    """Where it stands in the dataset."""
    return f"takedown/{takedown.takedown_id}.json"


def manifest_key(partition: int, start: int) -> str:
    """Zero-padded, so that keys list in offset order."""
    return f"manifest/{partition:05d}/{start:020d}.json"


def merged_key(partition: int, generation: int) -> str:
    """Zero-padded, so that a listing that has passed a manifest still comes to its successor."""
    return f"merged/{partition:05d}/{generation:010d}.json"


def floor_key(partition: int, offset: int) -> str:
    """An empty object: the sink's manifests that begin below the highest floor may be removed."""
    return f"floor/{partition:05d}/{offset:020d}"
