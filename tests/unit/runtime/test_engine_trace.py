import random

import pytest

from kaption.connections.traceparent import child_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_child_keeps_the_trace_and_its_flags_and_has_its_own_span() -> None:
    child = child_of(f"00-{TRACE}-{SPAN}-00", random.Random(1))
    version, trace, span, flags = child.split("-")
    assert (version, trace, flags) == ("00", TRACE, "00")
    assert span != SPAN
    assert len(span) == 16


@pytest.mark.parametrize(
    "parent",
    [
        None,
        "",
        "nonsense",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
    ],
)
def test_without_a_valid_parent_a_new_trace_begins(parent: str | None) -> None:
    child = child_of(parent, random.Random(1))
    assert TRACE not in child
    assert child.endswith("-01")
    assert [len(part) for part in child.split("-")] == [2, 32, 16, 2]


def test_a_later_version_is_read_as_ours() -> None:
    assert child_of(f"01-{TRACE}-{SPAN}-03-later", random.Random(1)).startswith(f"00-{TRACE}-")
