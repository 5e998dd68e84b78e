"""Rows of a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from producers.sources._row import Row
from producers.sources.source import SourceError

_BATCH_ROWS = 256


def parquet_rows(path: Path, done: int) -> Iterator[Row]:
    """Rows behind the first `done`; whole row groups are passed over unread.

    Raises SourceError, OSError.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            groups = list(range(file.num_row_groups))
            number = 0
            while groups and number + file.metadata.row_group(groups[0]).num_rows <= done:
                number += file.metadata.row_group(groups.pop(0)).num_rows
            if not groups:
                return
            for batch in file.iter_batches(_BATCH_ROWS, row_groups=groups):
                skip = min(max(0, done - number), batch.num_rows)
                number += skip
                for fields in batch.slice(skip).to_pylist():
                    number += 1
                    yield Row(f"{path.name}:row {number}", _plain(fields), None, None, 0, number)
    except pa.ArrowException as error:
        raise SourceError(f"{path} cannot be read as Parquet: {error}") from error


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Dates and decimals as text; a picture of Hugging Face's image type as its bytes."""
    plain = {}
    for name, value in fields.items():
        if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
            plain[name] = value["bytes"]
        elif value is None or isinstance(value, (str, bytes, bool, int, float, list, dict)):
            plain[name] = value
        else:
            plain[name] = str(value)
    return plain
