"""Writes the JSON Schema of every record, for producers and consumers in other languages.

``python -m kaption.schemas.export`` writes ``schemas/json/NAME.vVERSION.json``. The file of a
released version is never removed.
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
"""Every record that is a Kafka message or a file of its own."""


def file_name(record: type[Versioned]) -> str:
    """The schema's file name, for example ``RawPair.v1.json``."""
    return f"{record.__name__}.v{record.schema_version}.json"


def json_schema(record: type[Versioned]) -> dict[str, Any]:
    """The record's JSON Schema, draft 2020-12.

    The schema describes what a reader accepts. A field with a default is therefore optional, and
    unknown fields are allowed everywhere.
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
    """The text of the schema's file."""
    return json.dumps(json_schema(record), indent=2, ensure_ascii=False) + "\n"


def write(folder: Path = FOLDER) -> list[Path]:
    """Write every schema to `folder`. Returns the files' paths."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for record in SCHEMAS:
        files.append(folder / file_name(record))
        files[-1].write_text(text_of(record), encoding="utf-8")
    return files


if __name__ == "__main__":
    write()
