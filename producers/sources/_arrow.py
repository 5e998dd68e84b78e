"""Rows of Parquet files and of Arrow streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kaption.producers.sources._columns import Row
from kaption.producers.sources.source import SourceError

_BATCH_ROWS = 256
_CHUNK_ROWS = 16
"""Rows that are converted to Python values at once: a batch may hold gigabytes of images."""
_END = b"\xff\xff\xff\xff\0\0\0\0"
"""The last bytes of an Arrow stream that was written completely."""


def parquet_rows(path: Path, done: int) -> Iterator[Row]:
    """The rows behind the first `done`; row groups before them are not read.

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
            batches = file.iter_batches(_BATCH_ROWS, row_groups=groups)
            yield from _rows(path.name, batches, number, done)
    except pa.ArrowException as error:
        raise SourceError(f"{path} cannot be read as Parquet: {error}") from error


def stream_rows(path: Path, name: str, done: int) -> Iterator[Row]:
    """The rows of an Arrow stream behind the first `done`, which are not converted.

    The place of each row begins with `name`. Raises SourceError, OSError.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as file:
            # Arrow itself does not notice that a file was cut off between two batches.
            if file.size() < len(_END) or file.read_at(len(_END), file.size() - len(_END)) != _END:
                raise SourceError(f"{path} is cut off: write or copy it again")
            yield from _rows(name, pa.ipc.open_stream(file), 0, done)
    except pa.ArrowException as error:
        raise SourceError(f"{path} cannot be read as an Arrow stream: {error}") from error


def _rows(name: str, batches: Iterable[Any], number: int, done: int) -> Iterator[Row]:
    """Rows of record batches; there are `number` rows before the first batch."""
    for batch in batches:
        skip = min(max(0, done - number), batch.num_rows)
        number += skip
        for at in range(skip, batch.num_rows, _CHUNK_ROWS):
            for fields in batch.slice(at, _CHUNK_ROWS).to_pylist():
                number += 1
                plain = {column: _plain(value) for column, value in fields.items()}
                yield Row(f"{name}:row {number}", plain, None, None, 0, number)


def _plain(value: Any) -> Any:
    """Dates and decimals become text; a value of Hugging Face's type Image its bytes or URL."""
    if isinstance(value, dict) and value.keys() == {"bytes", "path"}:
        return value["path"] if value["bytes"] is None else value["bytes"]
    if value is None or isinstance(value, (str, bytes, bool, int, float, list, dict)):
        return value
    return str(value)
