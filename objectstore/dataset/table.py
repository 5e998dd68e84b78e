"""The Parquet table of a shard: one row for each sample, without the image."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from kaption.schemas import CleanPair, Position, TextSource
from kaption.schemas.pair import crawled_url, image_url

ROWS = 2048
"""Rows of one row group."""
VERSION_COLUMNS = ["pair_id", "version", "offset"]
"""What `older_versions` needs of a table."""
# The columns that are fields of the pair and of its image, under the same names.
_OF_PAIR = ["pair_id", "version", "text", "clean_text", "original_score", "language"]
_OF_PAIR += ["detected_language", "licence", "licence_id", "source", "page_url"]
_OF_PAIR += ["fetched_at", "original_specificity"]
_OF_IMAGE = ["width", "height", "original_sha256", "original_width", "original_height"]
_OF_IMAGE += ["perceptual_hash", "faces_blurred", "nsfw", "document"]


def table_schema() -> Any:
    """Return the pyarrow schema. Scores are cosines, widths and heights are pixels."""
    import pyarrow as pa

    text, real, whole = pa.string(), pa.float64(), pa.int64()
    source = pa.struct([(name, text) for name in TextSource.model_fields])
    caption = pa.struct(
        [
            pa.field("text", text, nullable=False),
            pa.field("kind", text, nullable=False),
            ("model", text),
            ("revision", text),
            ("prompt_id", text),
            ("aspect", text),
            ("score", real),
            ("specificity", real),
            ("fitted_text", text),
            ("truncated", pa.bool_()),
            ("cut", pa.list_(text)),
            ("masked", pa.list_(text)),
            ("grounding", real),
            ("source", source),
        ]
    )
    signal = pa.struct([("kind", text), ("value", text), ("source", text)])
    required = {"key": text, "pair_id": text, "version": whole, "partition": whole}
    required |= {"offset": whole, "sha256": text, "media_type": text, "bytes": whole}
    required |= {"width": whole, "height": whole, "text": text, "clean_text": text}
    required |= {"caption": text, "captions": pa.list_(caption), "opt_out": pa.list_(signal)}
    required |= {"original_sha256": text, "original_width": whole, "original_height": whole}
    required |= {"dedup_owner": text, "audit_state": text, "provenance": text, "extra": text}
    optional = {"caption_score": real, "original_score": real, "language": text}
    optional |= {"caption_specificity": real, "original_specificity": real}
    optional |= {"detected_language": text, "licence": text, "source": text, "page_url": text}
    optional |= {"licence_id": text, "faces": whole, "faces_blurred": pa.bool_()}
    optional |= {"nsfw": real, "document": real}
    optional |= {"image_url": text, "crawled_url": text, "perceptual_hash": text}
    optional |= {"masked": pa.list_(text)}
    optional |= {"semantic_neighbour": text, "semantic_similarity": real}
    optional |= {"text_uses": whole, "fetched_at": pa.timestamp("us", tz="UTC")}
    return pa.schema(
        [pa.field(name, kind, nullable=False) for name, kind in required.items()]
        + [pa.field(name, kind) for name, kind in optional.items()]
    )


def row(key: str, position: Position, pair: CleanPair) -> dict[str, Any]:
    """Return a sample as the columns of the schema."""
    best = pair.captions[0]
    return {
        **{name: getattr(pair, name) for name in _OF_PAIR},
        **{name: getattr(pair.image, name) for name in _OF_IMAGE},
        **pair.image.blob.model_dump(),
        "key": key,
        "partition": position.partition,
        "offset": position.offset,
        "image_url": image_url(pair),
        "crawled_url": crawled_url(pair),
        "caption": best.text,
        "caption_score": best.score,
        "caption_specificity": best.specificity,
        "captions": [
            caption.model_dump(mode="json", exclude={"window_scores", "checks", "doubts"})
            for caption in pair.captions
        ],
        "opt_out": [signal.model_dump(mode="json") for signal in pair.opt_out],
        "dedup_owner": pair.dedup.owner,
        "text_uses": pair.dedup.text_uses,
        "semantic_neighbour": pair.dedup.semantic_neighbour,
        "semantic_similarity": pair.dedup.semantic_similarity,
        "masked": list(pair.masked),
        "faces": None if pair.image.faces is None else len(pair.image.faces),
        "audit_state": pair.audit.state.value,
        "provenance": pair.provenance.model_dump_json(),
        "extra": json.dumps(pair.extra, sort_keys=True),
    }


def write_parquet(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write the rows in groups of `ROWS`. The same rows give the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, rest = table_schema(), iter(rows)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while group := list(islice(rest, ROWS)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def read_parquet(data: bytes, columns: Sequence[str] | None = None) -> Any:
    """Return the table in a Parquet file's bytes, read in the calling thread.

    A name in `columns` may be a part of a nested column, such as ``captions.list.element.source``.
    A column that the file lacks is left out. Raises pyarrow.ArrowException, OSError.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Not `pq.read_table`, and no threads: Arrow's threads may still let go of Python's bytes when
    # the table is there. If the interpreter ends just then, the process dies by SIGABRT.
    return pq.ParquetFile(pa.BufferReader(data)).read(columns, use_threads=False)


def older_versions(tables: Sequence[Any]) -> Any:
    """Return the rows of one partition's tables that are not the latest version of their pair.

    `tables` have `VERSION_COLUMNS`; a row may be in two of them. The latest row of a pair has the
    highest version, and among equal versions the highest offset.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    order = [(name, "ascending") for name in VERSION_COLUMNS]
    rows = pa.concat_tables(tables).sort_by(order)
    this, next_ = rows.slice(0, max(len(rows) - 1, 0)), rows.slice(1)
    same_pair = pc.equal(this["pair_id"], next_["pair_id"])
    return this.filter(pc.and_(same_pair, pc.not_equal(this["offset"], next_["offset"])))
