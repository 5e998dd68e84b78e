"""A shard's table is read in the calling thread."""

import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kaption.objectstore.dataset.table import read_parquet

_COUNT_THREADS = """
import os, sys
from kaption.objectstore.dataset.table import read_parquet
data = sys.stdin.buffer.read()
import pyarrow.parquet
before = set(os.listdir("/proc/self/task"))
assert len(read_parquet(data)) == 1
print(len(set(os.listdir("/proc/self/task")) - before))
"""


def _parquet(table: pa.Table) -> bytes:
    file = BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


@pytest.mark.slow
def test_no_thread_of_arrow_is_left_that_could_abort_the_ending_process() -> None:
    row = _parquet(pa.table({f"column{n}": [n] for n in range(60)}))
    done = subprocess.run(
        [sys.executable, "-c", _COUNT_THREADS],
        input=row,
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=Path.cwd(),
    )
    assert done.stdout.strip() == b"0", done.stderr.decode()


def test_part_of_a_nested_column_is_read_alone() -> None:
    rows = [{"captions": [{"text": "a dog", "source": "human"}], "offset": 3}]
    table = read_parquet(
        _parquet(pa.Table.from_pylist(rows)), ["offset", "captions.list.element.source"]
    )
    assert table.to_pylist() == [{"captions": [{"source": "human"}], "offset": 3}]


def test_column_that_an_older_table_lacks_is_left_out() -> None:
    table = read_parquet(_parquet(pa.table({"offset": [3]})), ["offset", "documents"])
    assert table.to_pylist() == [{"offset": 3}]


def test_other_bytes_are_an_error_of_arrow() -> None:
    with pytest.raises(pa.ArrowException):
        read_parquet(b"not Parquet")
