"""Old messages stay valid and keep their meaning.

Each file of payloads/ holds a message and how it was read when its version was released. Files are
added, never changed.
"""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kaption.schemas import Versioned, decode, encode
from kaption.schemas.export import FOLDER, SCHEMAS

PAYLOADS = sorted((Path(__file__).parent / "payloads").glob("*.json"))
BY_NAME = {record.__name__: record for record in SCHEMAS}


def load(path: Path) -> tuple[type[Versioned], str, dict[str, Any], dict[str, Any]]:
    """The record, its version, the message, and the expected result of reading it."""
    name, version, _ = path.name.split(".", 2)
    stored = json.loads(path.read_text(encoding="utf-8"))
    return BY_NAME[name], version.removeprefix("v"), stored["payload"], stored["read_as"]


def missing_from(found: Any, expected: Any, at: str = "") -> list[str]:
    """The places where `found` lacks or changes a value of `expected`. New fields are allowed."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            fault
            for key, value in expected.items()
            for fault in (
                missing_from(found[key], value, f"{at}.{key}") if key in found else [f"{at}.{key}"]
            )
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(found, expected, strict=True))
        return [fault for i, (f, e) in pairs for fault in missing_from(f, e, f"{at}.{i}")]
    return [] if found == expected else [at]


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_an_old_message_is_read_with_its_old_meaning(path: Path) -> None:
    kind, version, payload, read_as = load(path)
    headers = [("kaption-schema", f"{kind.__name__}/{version}".encode())]

    record = decode(json.dumps(payload).encode(), kind, headers)

    assert missing_from(record.model_dump(mode="json"), read_as) == []
    assert decode(encode(record), kind) == record


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_an_old_message_is_valid_under_its_schema_and_the_newest(path: Path) -> None:
    kind, version, payload, _ = load(path)

    for released in {version, str(kind.schema_version)}:
        schema = json.loads((FOLDER / f"{kind.__name__}.v{released}.json").read_text("utf-8"))
        jsonschema.validate(payload, schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("record", SCHEMAS, ids=lambda record: record.__name__)
def test_every_field_is_in_a_stored_message(record: type[Versioned]) -> None:
    stored = [load(path) for path in PAYLOADS]
    seen = {field for kind, _, payload, _ in stored if kind is record for field in payload}

    assert set(record.model_fields) <= seen, "a field was added: add a payload that has it"


def test_a_changed_default_or_a_dropped_field_is_noticed() -> None:
    expected = {"audit": {"state": "none"}, "tags": [{"name": "a"}]}

    assert missing_from({**expected, "new": 1}, expected) == []
    assert missing_from({"audit": {"state": "sampled"}, "tags": [{}]}, expected) == [
        ".audit.state",
        ".tags.0.name",
    ]
