"""Clean pairs with stored images, and the sink driven as the engine drives it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.objects import read_rows, read_samples
from kaption.objectstore.store import ObjectStore
from kaption.schemas import CleanPair, DedupInfo, Manifest
from kaption.testing.records import caption, clean_pair, image_ref, incoming
from kaption.workers.policy.outputs import SinkPolicy
from kaption.workers.runtime.stage import Emit, Incoming, Outcome, Reject
from kaption.workers.stages.sink.stage import PreparedImage, SinkStage
from support.dataset_faults import chain_faults, object_faults

TOPIC = "pairs.clean"


def now() -> datetime:
    return datetime(2026, 11, 22, 12, tzinfo=UTC)


def image_bytes(offset: int, size: int = 300) -> bytes:
    return b"\xff\xd8 image %d " % offset * (size // 12)


def stored(
    blobs: BlobStore, offset: int, partition: int = 0, **changed: object
) -> Incoming[CleanPair]:
    """Make a clean pair whose image is in the blob store."""
    blob = blobs.put(image_bytes(offset), "image/jpeg")
    pair = clean_pair(
        offset,
        caption(f"Größe {offset}", model="m", score=0.3),
        image=image_ref(blob, original_bytes=12345),
        dedup=DedupInfo(owner=f"pairs.raw/{partition}/{offset}"),
    )
    return incoming(pair.model_copy(update=changed), offset, partition, TOPIC)


def manifest(start: int, end: int, partition: int = 0, **changed: object) -> Manifest:
    """Make the manifest of a shard with one sample and no objects."""
    fields = {"topic": TOPIC, "partition": partition, "start": start, "end": end}
    fields |= {"pairs": 1, "writer": "w", "created_at": now(), "objects": ()}
    return Manifest.model_validate(fields | changed)


def open_sink(objects: ObjectStore, spool: Path, writer: str, prefix: str = "dataset") -> SinkStage:
    sink = SinkStage(
        SinkPolicy(spool=str(spool), prefix=prefix),
        objects,
        BlobStore(objects),
        now=now,
        writer=writer,
    )
    sink.setup()
    return sink


def run(sink: SinkStage, messages: Sequence[Incoming[CleanPair]]) -> list[Outcome]:
    """Put one batch through the stage; return the outcomes in the order of the records."""
    prepared: list[tuple[Incoming[CleanPair], PreparedImage]] = []
    outcomes: dict[int, Outcome] = {}
    for message in messages:
        try:
            prepared.append((message, sink.prepare(message)))
        except Reject as reject:
            outcomes[message.position.offset] = reject
    if prepared:
        for (message, _), outcome in zip(prepared, sink.process(prepared), strict=True):
            outcomes[message.position.offset] = outcome
    return [outcomes[message.position.offset] for message in messages]


def done(outcomes: Iterable[Outcome]) -> bool:
    return all(outcome == Emit(()) for outcome in outcomes)


def offsets_in(objects: ObjectStore, prefix: str = "dataset") -> list[int]:
    """Return the offsets of all samples in order, after checking manifests, tars and tables."""
    manifests = read_manifests(objects, prefix)
    assert chain_faults(manifests) == []
    assert object_faults(objects, prefix, manifests) == []
    named = {f"{prefix}/{entry.key}" for manifest in manifests for entry in manifest.objects}
    assert named <= set(objects.list(f"{prefix}/data/"))
    found: list[int] = []
    for manifest in manifests:
        samples = [key for key, _ in read_samples(objects, prefix, manifest)]
        rows = read_rows(objects, prefix, manifest)
        assert samples == [row["key"] for row in rows]
        assert len(samples) == manifest.pairs
        here = [row["offset"] for row in rows]
        assert all(manifest.start <= offset < manifest.end for offset in here)
        found += here
    return found


def orphans_in(objects: ObjectStore, prefix: str = "dataset") -> list[str]:
    """Return the keys of data objects that no manifest names."""
    manifests = read_manifests(objects, prefix)
    named = {f"{prefix}/{entry.key}" for manifest in manifests for entry in manifest.objects}
    return [key for key in objects.list(f"{prefix}/data/") if key not in named]
