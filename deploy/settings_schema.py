"""The settings in the schema of the chart's values: their names, types and bounds, from the code.

``python deploy/settings_schema.py`` writes them into ``values.schema.json``. What the chart itself
demands of a setting stands beside them there, by hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kaption.workers.settings import Settings

Schema = dict[str, Any]
FILE = Path(__file__).parent / "helm" / "kaption" / "values.schema.json"
NAME = "everySetting"
# Of a value given as the text that its variable would have.
_TEXTS = {
    "integer": r"^-?[0-9]+$",
    "number": r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$",
    "boolean": r"^(true|false)$",
    "array": r"^\[",
}


def text_with_settings(text: str) -> str:
    """The schema's text with the settings as the code has them."""
    schema = json.loads(text)
    generated = Settings.model_json_schema()
    schema["$defs"][NAME] = {
        "$comment": "Written by deploy/settings_schema.py.",
        **_for_helm(generated, generated["$defs"]),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _for_helm(schema: Schema, models: Schema) -> Schema:
    """Without what only code needs: references, titles, and defaults, for the chart has its own."""
    if "$ref" in schema:
        schema = models[schema["$ref"].rpartition("/")[2]] | schema
    nullable = "anyOf" in schema
    if nullable:
        value, _null = schema["anyOf"]
        schema = value | schema
    kind = schema["type"]
    kept = {
        key: value
        for key, value in schema.items()
        if key not in ("$ref", "$defs", "anyOf", "title", "default", "format", "writeOnly")
    }
    if kind == "object" and "properties" not in schema:
        # Settings of plug-ins are given as JSON: a plug-in's name cannot be in a variable's.
        kept.pop("additionalProperties", None)
        return kept | {"type": "string", "pattern": r"^\{"}
    if kind == "object":
        properties = schema["properties"].items()
        return kept | {"properties": {name: _for_helm(it, models) for name, it in properties}}
    if kind in _TEXTS:
        kept["pattern"] = _TEXTS[kind]
    kinds = [kind, *(["string"] if kind in _TEXTS else []), *(["null"] if nullable else [])]
    if nullable and "enum" in kept:
        kept["enum"] = [*kept["enum"], None]
    return kept | {"type": kinds if len(kinds) > 1 else kind}


if __name__ == "__main__":
    FILE.write_text(text_with_settings(FILE.read_text("utf-8")), "utf-8")
