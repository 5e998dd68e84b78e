"""What is wrong with a dataset, by its manifests and by its objects."""

from collections.abc import Iterable
from itertools import groupby

from kaption.objectstore.dataset.objects import DamagedError, DataObjects
from kaption.objectstore.store import ObjectStore
from kaption.schemas import Manifest


def chain_faults(manifests: Iterable[Manifest]) -> list[str]:
    """Return what is wrong with the chains; an empty list when nothing is.

    In each partition the first manifest must start at offset 0, every other one where the one
    before it ends, and all must be of one topic.
    """
    ordered = sorted(manifests, key=lambda manifest: (manifest.partition, manifest.start))
    faults = []
    for partition, chain in groupby(ordered, key=lambda manifest: manifest.partition):
        end, topic = 0, None
        for manifest in chain:
            place = f"partition {partition}, manifest {manifest.start}"
            if manifest.start != end:
                faults.append(f"{place}: the one before ends at {end}")
            if not manifest.start < manifest.end:
                faults.append(f"{place}: ends at {manifest.end}")
            if topic not in (None, manifest.topic):
                faults.append(f"{place}: of topic {manifest.topic}, the one before of {topic}")
            end, topic = manifest.end, manifest.topic
    return faults


def object_faults(objects: ObjectStore, prefix: str, manifests: Iterable[Manifest]) -> list[str]:
    """Return which data objects are missing or damaged. Reads every object of the manifests."""
    reader, faults = DataObjects(objects, prefix), []
    for manifest in manifests:
        for entry in manifest.objects:
            try:
                reader.read(manifest, entry.format)
            except DamagedError as error:
                faults.append(str(error))
    return faults
