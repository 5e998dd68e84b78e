"""`kaption consume`: write the present clean pairs to files."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from kaption.consumers import Tombstone, TopicReader
from kaption.objectstore import BlobStore, CorruptBlobError, open_store
from kaption.objectstore.dataset.takedowns import Takedowns
from kaption.schemas import CleanPair, Position, encode
from kaption.schemas.topics import CLEAN
from kaption.workers.cli.common import Config, require_store
from kaption.workers.settings import Settings, UserError, load_settings


class Format(StrEnum):
    """Format of the files."""

    JSONL = "jsonl"
    PARQUET = "parquet"
    WDS = "wds"


Pairs = Iterator[tuple[Position, CleanPair]]


def command(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="A new file, or for wds a new folder.")
    ],
    to: Annotated[
        Format, typer.Option(help="JSON lines, one Parquet table, or WebDataset tars.")
    ] = Format.JSONL,
    shard_records: Annotated[int, typer.Option(min=1, help="For wds: pairs in one tar.")] = 10_000,
    config: Config = None,
) -> None:
    """Write the newest version of every clean pair to files.

    The command reads pairs.clean up to its present end. It leaves out pairs
    that are withdrawn or taken down. OUT appears when it is complete.

    Example: kaption consume pairs.parquet --to parquet
    """
    if out.exists():
        raise UserError(f"{out} exists already: choose another name, or move it away")
    settings = load_settings(config)
    require_store(settings)
    passed: Counter[str] = Counter()
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=".kaption-") as folder:
        written = Path(folder) / "written"
        pairs = _newest(settings, passed)
        match to:
            case Format.JSONL:
                with written.open("wb") as file:
                    file.writelines(encode(pair) + b"\n" for _, pair in _counted(pairs, passed))
            case Format.PARQUET:
                from kaption.objectstore.dataset.table import row, write_parquet

                counted = _counted(pairs, passed)
                write_parquet(written, (row(_key(at), at, pair) for at, pair in counted))
            case Format.WDS:
                written.mkdir()
                _write_tars(written, pairs, settings, shard_records, passed)
        shutil.move(written, out)
    typer.echo(", ".join(f"{number} {what}" for what, number in sorted(passed.items())))


def _newest(settings: Settings, passed: Counter[str]) -> Pairs:
    """Read the topic twice: first for the last message of each pair, then for these messages."""
    last: dict[str, Position] = {}
    with TopicReader(settings.kafka, [CLEAN]) as reader:
        ends = reader.ends()
        for read in filter(None, reader.reads(ends)):
            if isinstance(read.record, Tombstone):
                last.pop(read.record.key, None)
            elif isinstance(read.record, CleanPair):
                last[read.record.pair_id] = read.position
            else:
                passed["unreadable"] += 1
        takedowns = Takedowns(open_store(settings.store), settings.sink.prefix)
        for read in filter(None, reader.reads(ends)):
            pair = read.record
            if isinstance(pair, CleanPair) and last.get(pair.pair_id) == read.position:
                if takedowns.covers(pair):
                    passed["taken down"] += 1
                else:
                    yield read.position, pair


def _counted(pairs: Pairs, passed: Counter[str]) -> Pairs:
    passed["pairs"] = 0
    for each in pairs:
        passed["pairs"] += 1
        yield each


def _write_tars(
    folder: Path, pairs: Pairs, settings: Settings, records: int, passed: Counter[str]
) -> None:
    """Write tars, each with a table beside it, like the shards of the sink."""
    from kaption.objectstore.dataset.shard import ShardSample, build_shard

    blobs = BlobStore(open_store(settings.store))

    def samples(spool: Path) -> Iterator[ShardSample]:
        for position, pair in pairs:
            image = spool / _key(position)
            try:
                image.write_bytes(blobs.get(pair.image.blob))
            except (KeyError, CorruptBlobError):
                passed["without image"] += 1
            else:
                yield ShardSample(position, pair, image)

    number = passed["pairs"] = 0
    while True:
        with tempfile.TemporaryDirectory(dir=folder.parent) as spool:
            shard = list(islice(samples(Path(spool)), records))
            if not shard:
                return
            tar, table, _ = build_shard(Path(spool), f"{number:06d}", shard)
            for file in (tar, table):
                shutil.move(file.path, folder / file.entry.key)
        number += 1
        passed["pairs"] += len(shard)


def _key(position: Position) -> str:
    return f"{position.partition}-{position.offset}"
