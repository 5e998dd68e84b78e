"""`kaption table`: let a Delta table name the shards' tables, for SQL engines."""

from __future__ import annotations

from importlib.util import find_spec

import typer

from kaption.workers.cli.common import Config, parsing
from kaption.workers.settings import UserError, load_settings


def command(config: Config = None) -> None:
    """Publish the tables of the dataset as one Delta table, and print its version.

    The table's log lies in _delta_log/ below sink.prefix and names the Parquet
    objects of the shards. Spark, Trino, DuckDB and Polars read it. Run it after
    each `kaption compact`, and as often as readers want new rows: it reads the
    manifests of new shards, and commits what changed.

    Example: kaption table
    """
    if find_spec("deltalake") is None:
        raise UserError("kaption table needs deltalake: pip install 'kaption[table]'")
    from kaption.workers.delta_table import publish

    settings = load_settings(config)
    with parsing(settings.sink.prefix):
        done = publish(settings.store, settings.sink.prefix)
    typer.echo(f"{done.uri}: version {done.version}, {done.rows} rows of {done.shards} shards")
    typer.echo(f"{done.added} shards added, {done.removed} removed")
