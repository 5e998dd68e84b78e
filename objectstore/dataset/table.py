"""The Parquet table beside each tar: one row per sample, without the image."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from kaption.objectstore.dataset.layout import dataset_root
from kaption.objectstore.store import Objects
from kaption.schemas import CleanPair, Manifest, Position
from kaption.schemas.manifest import entry_of
from kaption.schemas.pair import image_url

COLUMNS = ["pair_id", "version", "offset"]


def older(tables: Sequence[Any]) -> Any:
    """Those rows of one partition's tables of `COLUMNS` that are not their pair's latest.

    The highest version wins, of equal ones the highest offset. A row may be there twice.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    order = [(name, "ascending") for name in COLUMNS]
    rows = pa.concat_tables(tables).sort_by(order)
    this, next_ = rows.slice(0, max(len(rows) - 1, 0)), rows.slice(1)
    same_pair = pc.equal(this["pair_id"], next_["pair_id"])
    return this.filter(pc.and_(same_pair, pc.not_equal(this["offset"], next_["offset"])))


def read_rows(objects: Objects, prefix: str, manifest: Manifest) -> list[dict[str, Any]]:
    """The shard's Parquet rows, in offset order."""
    import pyarrow.parquet as pq

    data = objects.get(dataset_root(prefix) + entry_of(manifest, "parquet").key)
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(data)).to_pylist()
    return rows


ROWS = 2048
"""Rows of one row group."""


def table_schema() -> Any:
    """The pyarrow schema; text scores are cosines, sizes are pixels and bytes."""
    import pyarrow as pa

    text, real, whole = pa.string(), pa.float64(), pa.int64()
    caption = pa.struct(
        [
            pa.field("text", text, nullable=False),
            pa.field("kind", text, nullable=False),
            ("model", text),
            ("revision", text),
            ("prompt_id", text),
            ("score", real),
            ("fitted_text", text),
        ]
    )
    signal = pa.struct([("kind", text), ("value", text)])
    required = {"key": text, "pair_id": text, "version": whole, "partition": whole}
    required |= {"offset": whole, "sha256": text, "media_type": text, "bytes": whole}
    required |= {"width": whole, "height": whole, "text": text, "clean_text": text}
    required |= {"caption": text, "captions": pa.list_(caption), "opt_out": pa.list_(signal)}
    required |= {"original_sha256": text, "original_width": whole, "original_height": whole}
    required |= {"dedup_owner": text, "audit_state": text, "provenance": text, "extra": text}
    optional = {"caption_score": real, "original_score": real, "language": text}
    optional |= {"detected_language": text, "licence": text, "source": text, "page_url": text}
    optional |= {"image_url": text, "crawled_url": text, "perceptual_hash": text}
    optional |= {"text_uses": whole, "fetched_at": pa.timestamp("us", tz="UTC")}
    return pa.schema(
        [pa.field(name, kind, nullable=False) for name, kind in required.items()]
        + [pa.field(name, kind) for name, kind in optional.items()]
    )


def row(key: str, position: Position, pair: CleanPair) -> dict[str, Any]:
    """One sample as the schema's columns."""
    image, best = pair.image, pair.captions[0]
    return {
        "key": key,
        "pair_id": pair.pair_id,
        "version": pair.version,
        "partition": position.partition,
        "offset": position.offset,
        "sha256": image.blob.sha256,
        "media_type": image.blob.media_type,
        "bytes": image.blob.bytes,
        "width": image.width,
        "height": image.height,
        "original_sha256": image.original_sha256,
        "original_width": image.original_width,
        "original_height": image.original_height,
        "image_url": image_url(pair),
        "crawled_url": image.crawled_url,
        "perceptual_hash": image.perceptual_hash,
        "text": pair.text,
        "clean_text": pair.clean_text,
        "caption": best.text,
        "caption_score": best.score,
        "original_score": pair.original_score,
        "captions": [
            caption.model_dump(mode="json", exclude={"window_scores", "checks"})
            for caption in pair.captions
        ],
        "language": pair.language,
        "detected_language": pair.detected_language,
        "licence": pair.licence,
        "opt_out": [signal.model_dump(mode="json") for signal in pair.opt_out],
        "source": pair.source,
        "page_url": pair.page_url,
        "fetched_at": pair.fetched_at,
        "dedup_owner": pair.dedup.owner,
        "text_uses": pair.dedup.text_uses,
        "audit_state": pair.audit.state.value,
        "provenance": pair.provenance.model_dump_json(),
        "extra": json.dumps(pair.extra, sort_keys=True),
    }


def write_parquet(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """All rows, in row groups of `ROWS`; the same rows give the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, rest = table_schema(), iter(rows)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while group := list(islice(rest, ROWS)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
