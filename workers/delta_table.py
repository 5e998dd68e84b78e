"""The tables of a dataset as one Delta table, which SQL engines read without Kaption.

The Delta table has no data of its own: its log, ``_delta_log/`` below the dataset's prefix, names
the Parquet objects of the shards. The manifests stay the truth, and the log follows them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaption.connections.errors import Fatal, Retry
from kaption.connections.settings import StoreConnection
from kaption.objectstore import open_store
from kaption.objectstore.dataset.checkpoint import ShardEntry
from kaption.objectstore.dataset.index import DatasetIndex, chain_of, read_listed
from kaption.objectstore.dataset.layout import Layout, partition_of, span_of
from kaption.objectstore.dataset.table import table_schema
from kaption.objectstore.open import patiently
from kaption.schemas import Manifest
from kaption.schemas.manifest import entry_of

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction, RemoveAction

_PUBLISHER = "kaption table"
"""Names the counter in the log that lets only one of two publishers commit what both saw."""
_TRIES = 10
_MANY = 1000
"""Changes in one commit from which a checkpoint of the log follows. Delta writes one after every
100 commits. Until then each call would read a large commit twice: 570 bytes for each of its shards,
where a checkpoint has 75. A checkpoint after every commit would write as much each time."""
_Identity = tuple[int, int, int, int, int]
"""What a shard is known by in the log and in a checkpoint: partition, start, end, bytes of its
table, and milliseconds of its creation. So the manifests of shards that the table names already are
not read. A shard that was written again at the same offsets has another time."""


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """What one call of `publish` did, and the table as it then is."""

    uri: str
    """The table's address, for readers."""
    version: int
    """The version of the Delta table. A reader that names it gets the same rows again."""
    added: int
    """Shards that came into the table."""
    removed: int
    """Shards that left it, because compaction merged them."""
    shards: int
    rows: int


def publish(connection: StoreConnection, prefix: str) -> PublishedTable:
    """Let the Delta table at `prefix` name the shards that count now, in one commit.

    Several calls at once, and a call that is killed, leave the table whole: a commit is one
    conditional PUT, and a publisher that comes second looks again. Writes nothing where nothing
    changed. Raises ValueError (pydantic) for a manifest that cannot be parsed, Fatal, and Retry.
    """
    from deltalake.exceptions import CommitFailedError, DeltaError

    uri, options = _address(connection, prefix)
    objects = open_store(connection)
    index = DatasetIndex(objects, prefix)
    for _ in range(_TRIES):
        shards = patiently(index.read)
        entries = [entry for each in shards.values() for entry in chain_of(each)]
        if not entries:
            raise Fatal(f"no shards below {prefix!r} of {connection.url}: look at sink.prefix")
        try:
            table = _table(uri, options)
            there = _shards_of(table)
            missing = [entry for entry in entries if _identity(entry) not in there]
            new = patiently(partial(read_listed, objects, Layout(prefix), missing))
            gone = there.keys() - set(map(_identity, entries))
            if new or gone:
                newest_ms = max(entry.created_us for entry in entries) // 1000
                removals = [_removal(there[each], each, newest_ms) for each in sorted(gone)]
                _commit(table, [*removals, *map(_addition, new)])
                if len(new) + len(gone) >= _MANY:
                    table.create_checkpoint()
        except CommitFailedError:
            continue  # another publisher was faster
        except KeyError as error:  # compaction removed the manifest since the index was read
            index.distrust(partition_of(*error.args))
            continue
        except (DeltaError, OSError) as error:
            raise Fatal(f"the Delta table at {uri}: {error}") from error
        rows = sum(entry.pairs for entry in entries)
        return PublishedTable(uri, table.version(), len(new), len(gone), len(entries), rows)
    raise Retry(
        f"the Delta table at {uri}: other publishers were faster {_TRIES} times; run it again when"
        " they have ended"
    )


def _identity(entry: ShardEntry) -> _Identity:
    return entry.partition, entry.start, entry.end, entry.table_bytes, entry.created_us // 1000


def _shards_of(table: DeltaTable) -> dict[_Identity, str]:
    """The shards that the table names, with the keys of their Parquet objects."""
    actions: Any = table.get_add_actions()
    names = ("path", "size_bytes", "modification_time")
    rows = zip(*(actions.column(name).to_pylist() for name in names), strict=True)
    return {(*span_of(key), size, created_ms): key for key, size, created_ms in rows}


def _addition(manifest: Manifest) -> AddAction:
    from deltalake.transaction import AddAction

    *_, size, created_ms = _identity(ShardEntry.of(manifest))
    return AddAction(
        path=entry_of(manifest, "parquet").key,
        size=size,
        partition_values={},
        modification_time=created_ms,
        data_change=True,
        stats=json.dumps({"numRecords": manifest.pairs}),
    )


def _removal(key: str, shard: _Identity, removed_ms: int) -> RemoveAction:
    from deltalake.transaction import RemoveAction

    *_, size, _created_ms = shard
    return RemoveAction(key, True, removed_ms, size=size)


def _commit(table: DeltaTable, changes: list[AddAction | RemoveAction]) -> None:
    from deltalake import CommitProperties, Transaction

    turn = (table.transaction_version(_PUBLISHER) or 0) + 1
    table.create_write_transaction(
        changes,
        "append",
        table.schema(),
        commit_properties=CommitProperties(app_transactions=[Transaction(_PUBLISHER, turn)]),
    )
    table.update_incremental()


def _table(uri: str, options: dict[str, str]) -> DeltaTable:
    """Open the table, or create it; add the columns that a newer Kaption writes."""
    from deltalake import DeltaTable, Schema

    if not DeltaTable.is_deltatable(uri, storage_options=options):
        DeltaTable.create(uri, schema=table_schema(), mode="ignore", storage_options=options)
    table = DeltaTable(uri, storage_options=options)
    known = {field.name for field in table.schema().fields}
    new = [field for field in Schema.from_arrow(table_schema()).fields if field.name not in known]
    if new:
        table.alter.add_columns(new)
    return table


def _address(connection: StoreConnection, prefix: str) -> tuple[str, dict[str, str]]:
    """The table's URI, and deltalake's settings for the store."""
    root = Layout(prefix).object("").rstrip("/")
    if not connection.url.startswith("s3://"):
        return str(Path(connection.url).expanduser().resolve() / root), {}
    if connection.ca_file is not None:
        raise Fatal(
            "deltalake reads no store.ca_file: add the authority to those of the system, and unset "
            "store.ca_file for this command"
        )
    options = {"AWS_REGION": connection.region}
    if connection.endpoint is not None:
        options["AWS_ENDPOINT_URL"] = connection.endpoint
        options["AWS_ALLOW_HTTP"] = str(connection.endpoint.startswith("http://")).lower()
        options["AWS_VIRTUAL_HOSTED_STYLE_REQUEST"] = "false"
    if connection.access_key is not None and connection.secret_key is not None:
        options["AWS_ACCESS_KEY_ID"] = connection.access_key
        options["AWS_SECRET_ACCESS_KEY"] = connection.secret_key.get_secret_value()
    return f"{connection.url.rstrip('/')}/{root}".rstrip("/"), options
