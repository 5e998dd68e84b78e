"""JSON Schema of every record, for producers and consumers in other languages.

``python -m kaption.schemas.export`` writes ``schemas/json/NAME.vVERSION.json``. Files of versions
that were once released stay for ever.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kaption.schemas.manifest import Manifest
from kaption.schemas.record import Versioned
from kaption.schemas.takedown import Takedown
from kaption.schemas.topics import TOPICS

FOLDER = Path(__file__).parent / "json"
SCHEMAS: tuple[type[Versioned], ...] = (
    *dict.fromkeys(topic.record for topic in TOPICS),
    Manifest,
    Takedown,
)
"""What is a message or a file of its own."""


def file_name(record: type[Versioned]) -> str:
    """For example ``RawPair.v1.json``."""
    return f"{record.__name__}.v{record.schema_version}.json"


def json_schema(record: type[Versioned]) -> dict[str, Any]:
    """The record's schema, draft 2020-12.

    It describes what a reader takes: fields at their default are left out on the wire. Unknown
    fields are allowed everywhere.
    """
    schema = record.model_json_schema(mode="validation")
    where = [
        f"{topic.name} (at most {topic.max_message_bytes} bytes a message)"
        for topic in TOPICS
        if topic.record is record
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:kaption:{record.schema_name()}",
        "title": schema.pop("title"),
        "description": schema.pop("description"),
        "$comment": "; ".join(
            [f"header kaption-schema: {record.schema_name()}"]
            + ([f"topics: {', '.join(where)}"] if where else [])
        ),
        **schema,
        "additionalProperties": True,
    }


def text_of(record: type[Versioned]) -> str:
    """The schema as it is in its file."""
    return json.dumps(json_schema(record), indent=2, ensure_ascii=False) + "\n"


def write(folder: Path = FOLDER) -> list[Path]:
    """Write every schema to `folder`; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for record in SCHEMAS:
        files.append(folder / file_name(record))
        files[-1].write_text(text_of(record), encoding="utf-8")
    return files


if __name__ == "__main__":
    write()
