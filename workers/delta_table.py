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
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.table import table_schema
from kaption.objectstore.open import patiently
from kaption.schemas import Manifest
from kaption.schemas.manifest import entry_of

if TYPE_CHECKING:
    from deltalake import DeltaTable

_PUBLISHER = "kaption table"
"""Names the counter in the log that lets only one of two publishers commit what both saw."""
_TRIES = 10


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
    for _ in range(_TRIES):
        manifests = patiently(partial(read_manifests, objects, prefix))
        if not manifests:
            raise Fatal(f"no shards below {prefix!r} of {connection.url}: look at sink.prefix")
        try:
            return _follow(_table(uri, options), uri, manifests)
        except CommitFailedError:
            continue  # another publisher was faster
        except (DeltaError, OSError) as error:
            raise Fatal(f"the Delta table at {uri}: {error}") from error
    raise Retry(
        f"the Delta table at {uri}: other publishers were faster {_TRIES} times; run it again when"
        " they have ended"
    )


def _follow(table: DeltaTable, uri: str, manifests: list[Manifest]) -> PublishedTable:
    from deltalake import CommitProperties, Transaction
    from deltalake.transaction import AddAction, RemoveAction

    wanted = {entry_of(each, "parquet").key: each for each in manifests}
    there = dict(_named(table))
    new, gone = wanted.keys() - there.keys(), there.keys() - wanted.keys()
    if new or gone:
        now_ms = int(max(each.created_at for each in manifests).timestamp() * 1000)
        removals = (RemoveAction(key, True, now_ms, size=there[key]) for key in sorted(gone))
        additions = (
            AddAction(
                path=key,
                size=entry_of(wanted[key], "parquet").bytes,
                partition_values={},
                modification_time=int(wanted[key].created_at.timestamp() * 1000),
                data_change=True,
                stats=json.dumps({"numRecords": wanted[key].pairs}),
            )
            for key in sorted(new)
        )
        turn = (table.transaction_version(_PUBLISHER) or 0) + 1
        table.create_write_transaction(
            [*removals, *additions],
            "append",
            table.schema(),
            commit_properties=CommitProperties(app_transactions=[Transaction(_PUBLISHER, turn)]),
        )
        table.update_incremental()
    rows = sum(each.pairs for each in manifests)
    return PublishedTable(uri, table.version(), len(new), len(gone), len(wanted), rows)


def _named(table: DeltaTable) -> list[tuple[str, int]]:
    actions: Any = table.get_add_actions()
    columns = actions.column("path").to_pylist(), actions.column("size_bytes").to_pylist()
    return list(zip(*columns, strict=True))


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
