"""Every valid record survives encoding. Every message is a record or a typed error."""

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kaption.schemas import (
    Caption,
    CaptionKind,
    ImageSource,
    MalformedRecordError,
    Position,
    RawPair,
    SchemaMismatchError,
    Versioned,
    WireError,
    decode,
    encode,
    headers_of,
    origin_of,
)
from kaption.schemas.export import SCHEMAS
from kaption.schemas.limits import EXTRA_DEPTH, INLINE_IMAGE_BYTES
from support.records import RECORDS, raw_pairs

broad = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
any_record = st.sampled_from(list(RECORDS)).flatmap(lambda record: RECORDS[record])
any_type = st.sampled_from(list(RECORDS))
MINIMAL = b'{"pair_id":"a","text":"t","image":{"url":"u"}%s}'


def with_extra(json_value: bytes) -> bytes:
    return MINIMAL % (b',"found":' + json_value)


def test_every_record_of_a_topic_is_tested_here() -> None:
    assert set(RECORDS) == set(SCHEMAS)


@given(any_record)
@broad
def test_any_valid_record_survives_the_wire(record: Versioned) -> None:
    assert decode(encode(record), type(record), headers_of(record)) == record


def read(value: bytes, kind: type[Versioned]) -> Versioned | MalformedRecordError:
    """Decode. Any error but the typed one fails the test."""
    try:
        return decode(value, kind)
    except MalformedRecordError as error:
        return error


@given(any_type, st.binary(max_size=200) | st.text().map(str.encode))
@example(RawPair, b"")
@example(RawPair, b"null")
@example(RawPair, b"\xef\xbb\xbf{}")
@example(RawPair, "{}".encode("utf-16"))
@broad
def test_any_bytes_are_a_record_or_a_typed_error(kind: type[Versioned], value: bytes) -> None:
    found = read(value, kind)

    assert isinstance(found, kind) or str(found).startswith(f"not a valid {kind.__name__}: ")


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@st.composite
def broken_records(draw: st.DrawFn) -> tuple[type[Versioned], bytes]:
    """A valid record with one field at any depth replaced by any JSON, and maybe cut off."""
    record = draw(any_record)
    tree = json.loads(encode(record))
    at = tree
    while True:
        place = draw(st.sampled_from(list(at) if isinstance(at, dict) else range(len(at))))
        inner = at[place]
        if not isinstance(inner, (dict, list)) or not inner or draw(st.booleans()):
            break
        at = inner
    at[place] = draw(json_values)
    value = json.dumps(tree).encode()
    cut = draw(st.integers(0, len(value)))
    return type(record), draw(st.sampled_from([value, value[:cut], value[:cut] + b"\xff"]))


@given(broken_records())
@broad
def test_a_broken_record_is_a_record_or_a_typed_error(
    broken: tuple[type[Versioned], bytes],
) -> None:
    kind, value = broken

    found = read(value, kind)

    if isinstance(found, MalformedRecordError):
        assert len(str(found)) <= 2_000
    else:
        assert decode(encode(found), kind) == found


ODD = [
    (with_extra(b"NaN"), "extra"),
    (with_extra(b"-Infinity"), "extra"),
    (with_extra(b"1e999"), "extra"),
    (with_extra(b"9" * 5_000), "extra"),
    (with_extra(b'"\\ud800"'), "extra"),
    (with_extra(b"[" * 150 + b"]" * 150), "extra"),
    (with_extra(b'{"a":' * EXTRA_DEPTH + b"1" + b"}" * EXTRA_DEPTH), "extra"),
    (with_extra(b'"' + b"x" * 20_000 + b'"'), "extra"),
    (MINIMAL % (b"," + b",".join(b'"%d":1' % number for number in range(65))), "extra"),
    (MINIMAL % b',"extra":null', ""),
    (MINIMAL % b',"extra":{"a":1},"a":2', "extra"),
    (MINIMAL % b',"fetched_at":"2024-01-01T00:00:00"', "fetched_at"),
    (MINIMAL % b',"fetched_at":1e30', "fetched_at"),
    (b'{"pair_id":"a","text":"%s","image":{"url":"u"}}' % (b"x" * 65_537), "text"),
    (b'{"pair_id":"a","text":{"en":"t"},"image":{"url":"u"}}', "text"),
    (b'{"pair_id":"a","text":7,"image":{"url":"u"}}', ""),
]


def short(value: object) -> str:
    return repr(value)[:40] + repr(value)[-20:]


@pytest.mark.parametrize(("value", "field"), ODD, ids=short)
def test_the_contract_forbids_what_ingest_reads_all_the_same(value: bytes, field: str) -> None:
    with pytest.raises(ValueError, match="RawPair"):
        RawPair.model_validate_json(value)

    pair = decode(value, RawPair)

    assert pair.pair_id == "a"
    assert set(pair.not_understood) <= {field}
    assert decode(encode(pair), RawPair) == pair


@pytest.mark.parametrize(
    "value",
    [
        with_extra(b"[" * 100_000),
        b'{"pair_id":"a","text":"t","image":{"url":"u","inline":"eA=="}}',
        b'{"pair_id":"a","text":"t","image":{}}',
        b'{"pair_id":"a","text":"t","image":{"inline":"e-_="}}',
        b'{"pair_id":"a","text":"t","image":"/etc/hostname"}',
        b'{"pair_id":"a","text":"t","image":"../../etc/hostname"}',
        b'{"pair_id":"a","text":"t","image":"FILE:///etc/hostname"}',
        b'{"pair_id":"","text":"t","image":{"url":"u"}}',
        b'{"pair_id":"a\\ud83d","text":"t","image":{"url":"u"}}',
        b'{"text":"t","image":{"url":"u"}}',
        b'{"pair_id":"a","image":{"url":"u"}}',
        None,
    ],
    ids=short,
)
def test_what_is_required_and_wrong_is_malformed(value: bytes | None) -> None:
    with pytest.raises(MalformedRecordError):
        decode(value, RawPair)


def test_nesting_up_to_the_limit_is_accepted() -> None:
    # The field itself is a level of `extra`.
    levels = EXTRA_DEPTH - 1
    pair = decode(with_extra(b"[" * levels + b"]" * levels), RawPair)

    assert decode(encode(pair), RawPair) == pair


def test_a_score_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        Caption(text="a", kind=CaptionKind.VLM, score=float("nan"))


@pytest.mark.parametrize("value", ["\ud800", b"bytes", (1, 2), {1: 2}, {"\udfff": 1}, float("inf")])
def test_extra_refuses_values_that_json_would_change(value: object) -> None:
    with pytest.raises(ValueError, match="extra"):
        RawPair(pair_id="a", text="t", image=ImageSource(url="u"), extra={"found": value})


def test_an_inline_image_of_the_greatest_size_is_accepted_and_one_byte_more_is_not() -> None:
    largest = ImageSource(inline=bytes(INLINE_IMAGE_BYTES))
    pair = RawPair(pair_id="a", text="t", image=largest)

    assert decode(encode(pair), RawPair).image == largest
    with pytest.raises(ValueError, match="inline"):
        ImageSource(inline=bytes(INLINE_IMAGE_BYTES + 1))


@given(raw_pairs, st.dictionaries(st.text(min_size=1, max_size=9), st.integers(), max_size=5))
@broad
def test_unknown_fields_are_kept_beside_those_in_extra(
    pair: RawPair, unknown: dict[str, int]
) -> None:
    fresh = {
        name: value
        for name, value in unknown.items()
        if name not in RawPair.model_fields and name not in pair.extra
    }
    value = json.dumps(json.loads(encode(pair)) | fresh).encode()

    assert decode(value, RawPair).extra == pair.extra | fresh


def test_unknown_fields_inside_records_are_ignored() -> None:
    value = b'{"pair_id":"a","text":"t","image":{"url":"u","later":1}}'

    assert decode(value, RawPair).image == ImageSource(url="u")


@given(st.binary(max_size=30) | st.text(max_size=30).map(str.encode))
@example(b"IngestedPair/1")
@example(b"RawPair")
@example(b"RawPair/0")
@example(b"RawPair/2")
@example(b"RawPair/" + b"9" * 5_000)
@example("RawPair/²".encode())
@example("RawPair/\u0661".encode())
def test_any_other_schema_header_is_a_typed_error(named: bytes) -> None:
    headers = [("kaption-schema", named)]

    if named == b"RawPair/1":
        decode(MINIMAL % b"", RawPair, headers)
    else:
        with pytest.raises(WireError) as refused:
            decode(MINIMAL % b"", RawPair, headers)
        assert len(str(refused.value)) < 500


def test_the_error_about_a_newer_version_says_to_update() -> None:
    with pytest.raises(SchemaMismatchError, match=r"RawPair/2.* reads up to RawPair/1: update"):
        decode(MINIMAL % b"", RawPair, [("kaption-schema", b"RawPair/2")])


def test_a_message_without_headers_is_read() -> None:
    assert decode(MINIMAL % b"", RawPair).pair_id == "a"


@given(
    st.from_regex(r"[A-Za-z0-9._-]{1,249}", fullmatch=True),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**63 - 1),
    st.none() | st.from_regex(r"[A-Za-z0-9_-]{22}", fullmatch=True),
)
def test_an_origin_survives_its_header(
    topic: str, partition: int, offset: int, topic_id: str | None
) -> None:
    origin = Position(topic, partition, offset, topic_id)
    pair = decode(MINIMAL % b"", RawPair)

    assert origin_of(headers_of(pair, origin=origin), Position("here", 0, 0)) == origin


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
@example("a/\u0661/1".encode())
@example(b"a/1/" + b"9" * 5_000)
@example(b"a/1/2/" + b"-" * 22)
@example(b"a/1/2/")
def test_any_origin_header_is_a_position_or_a_typed_error(value: bytes) -> None:
    headers = [("kaption-origin", value)]

    place = rb"[A-Za-z0-9._-]{1,249}/[0-9]{1,10}/[0-9]{1,19}(/[A-Za-z0-9_-]{22})?"
    if re.fullmatch(place, value):
        assert origin_of(headers, Position("here", 0, 0)) == Position.parse(value.decode())
    else:
        with pytest.raises(WireError, match="kaption-origin"):
            origin_of(headers, Position("here", 0, 0))


def test_without_a_header_the_origin_is_where_the_message_is() -> None:
    here = Position("pairs.raw", 3, 7)

    assert origin_of([], here) == here
