"""The committed JSON Schemas say what the records accept."""

import json
from base64 import b64encode
from functools import cache
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaption.schemas import RawPair, Versioned, encode
from kaption.schemas.export import FOLDER, file_name, json_schema, text_of
from kaption.schemas.limits import EXTRA_KEYS, INLINE_IMAGE_BYTES, LIST_ITEMS, TEXT_CHARS
from support.records import RECORDS

PAIR = {"pair_id": "a", "text": "t", "image": {"url": "https://example.org/a.jpg"}}


@cache
def validator(record: type[Versioned]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json_schema(record))


@pytest.fixture(scope="module")
def raw_pair() -> jsonschema.Draft202012Validator:
    return validator(RawPair)


@pytest.mark.parametrize("record", RECORDS)
def test_the_committed_file_equals_the_generated_schema(record: type[Versioned]) -> None:
    committed = (FOLDER / file_name(record)).read_text(encoding="utf-8")

    assert committed == text_of(record), (
        "run `python -m kaption.schemas.export` and commit the change"
    )


@pytest.mark.parametrize("record", RECORDS)
def test_each_file_is_a_valid_json_schema(record: type[Versioned]) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(record))


@given(st.sampled_from(list(RECORDS)).flatmap(lambda kind: RECORDS[kind]))
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_every_encoded_record_is_valid(record: Versioned) -> None:
    validator(type(record)).validate(json.loads(encode(record)))


LARGEST = b64encode(bytes(INLINE_IMAGE_BYTES)).decode()


@pytest.mark.parametrize(
    ("changed", "valid"),
    [
        ({}, True),
        ({"unknown": {"any": [1, None]}}, True),
        ({"image": {"url": "u", "unknown": 1}}, True),
        ({"image": {"inline": LARGEST}}, True),
        ({"image": {"inline": "AAAA" + LARGEST}}, False),
        ({"image": {"url": "u", "inline": "AAAA"}}, False),
        ({"image": {"url": "u", "inline": None}}, True),
        ({"image": {}}, False),
        ({"image": {"url": None}}, False),
        ({"image": "https://example.org/a.jpg"}, False),
        ({"text": "é" * TEXT_CHARS}, True),
        ({"text": "é" * (TEXT_CHARS + 1)}, False),
        ({"text": None}, False),
        ({"extra": {str(number): 1 for number in range(EXTRA_KEYS)}}, True),
        ({"extra": {str(number): 1 for number in range(EXTRA_KEYS + 1)}}, False),
        ({"tags": [{"name": "a"}] * (LIST_ITEMS + 1)}, False),
        ({"tags": [{"name": "a", "confidence": 1.5}]}, False),
        ({"language": "english language"}, False),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_schema_and_code_agree_on_limits(
    raw_pair: jsonschema.Draft202012Validator, changed: dict[str, Any], valid: bool
) -> None:
    pair = PAIR | changed

    assert raw_pair.is_valid(pair) is valid
    if valid:
        RawPair.model_validate_json(json.dumps(pair))
    else:
        with pytest.raises(ValueError, match="RawPair"):
            RawPair.model_validate_json(json.dumps(pair))


def test_limits_that_json_schema_cannot_express_are_in_words(
    raw_pair: jsonschema.Draft202012Validator,
) -> None:
    schema = raw_pair.schema

    assert "16384 bytes" in schema["properties"]["extra"]["description"]
    assert "at most 7340032 bytes a message" in schema["$comment"]
