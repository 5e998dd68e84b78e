import random
from datetime import UTC, datetime

from kaption.schemas import DeadLetter, Reason, RejectedPair
from kaption.schemas.wire import TRACE_HEADER, decode, header, origin_of
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.outputs import Outputs
from kaption.workers.runtime.stage import Dead, Emit, Outcome, Reject
from support.engine import ECHO, Toy
from support.entries import Consumed, entry

OUTPUTS = Outputs(Toy(), "x.", lambda: datetime(2026, 1, 1, tzinfo=UTC), random.Random(1))


def build(item: Entry, outcome: Outcome) -> None:
    item.outcome = outcome
    OUTPUTS.build(item)


def test_an_emitted_record_has_key_origin_and_a_child_span() -> None:
    item = entry(7)
    assert item.message
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert isinstance(item.raw, Consumed)
    item.raw.headers = [(TRACE_HEADER, trace.encode())]
    build(item, Emit(((ECHO, item.message.record),)))
    ((topic, message),) = item.outgoing
    assert (topic, message.key) == ("x.pairs.ingested", b"p7")
    assert str(origin_of(message.headers, item.position)) == "pairs.raw/0/7"
    child = header(message.headers, TRACE_HEADER) or ""
    assert child.split("-")[1] == trace.split("-")[1]
    assert child.split("-")[2] != trace.split("-")[2]


def test_a_tombstone_has_no_outputs() -> None:
    item = entry(7)
    item.message = None
    build(item, Emit(()))
    assert not item.outgoing
    assert item.outcome == Emit(())


def test_a_rejection_carries_reason_and_record() -> None:
    item = entry(7)
    build(item, Reject(Reason.TOO_SMALL, "3 x 3"))
    (_, message) = item.outgoing[0]
    rejected = decode(message.value, RejectedPair, message.headers)
    assert (rejected.reason, rejected.detail) == (Reason.TOO_SMALL, "3 x 3")
    assert rejected.record["pair_id"] == "p7"


def test_a_dead_letter_carries_the_original_bytes_headers_and_attempts() -> None:
    item = entry(7)
    item.raw = Consumed("pairs.raw", 0, 7, b"\x00\xff", None, 5, [("h", b"\xfe"), ("none", None)])
    item.message = None
    item.die("undecodable", unexpected=False)
    item.attempts = 4
    OUTPUTS.build(item)
    (_, message) = item.outgoing[0]
    letter = decode(message.value, DeadLetter, message.headers)
    assert (letter.value, letter.key, letter.attempts) == (b"\x00\xff", None, 4)
    assert [(h.key, h.value) for h in letter.headers] == [("h", b"\xfe"), ("none", None)]


def test_an_output_too_large_for_its_topic_is_dead_and_no_crash() -> None:
    item = entry(7)
    assert item.message
    record = item.message.record.model_copy(update={"text": "x" * ECHO.max_message_bytes})
    build(item, Emit(((ECHO, record),)))
    assert isinstance(item.outcome, Dead)
    assert item.outgoing[0].topic == "x.pairs.dead"


def test_a_dead_letter_that_does_not_fit_is_told_without_its_bytes() -> None:
    item = entry(7)
    item.raw = Consumed("pairs.raw", 0, 7, b"x" * 13_000_000)
    item.die("too much", unexpected=False)
    OUTPUTS.build(item)
    letter = decode(item.outgoing[0].message.value, DeadLetter)
    assert letter.value is None
    assert "original not kept" in letter.error
