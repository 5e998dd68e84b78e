"""`kaption schema`: the JSON Schemas of the records, for any language."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from kaption.schemas.export import SCHEMAS, json_schema
from kaption.workers.settings import UserError


def command(
    name: Annotated[
        str | None, typer.Argument(help="A record, such as RawPair. Default: list them.")
    ] = None,
) -> None:
    """Print the JSON Schema of a record, or list the records."""
    records = {record.__name__: record for record in SCHEMAS}
    if name is None:
        for known in records:
            typer.echo(known)
        return
    if name not in records:
        raise UserError(f"no record is called {name!r}: choose from {', '.join(records)}")
    typer.echo(json.dumps(json_schema(records[name]), indent=2, ensure_ascii=False))
