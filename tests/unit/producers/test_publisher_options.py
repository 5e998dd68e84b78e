"""PublisherOptions checks its values, and the publishers stay easy to construct."""

import inspect

import pytest

from kaption.producers import AsyncPublisher, Publisher, PublisherOptions


@pytest.mark.parametrize("wrong", [{"max_block_s": "5"}, {"buffer_bytes": -1}, {"linger_s": None}])
def test_a_value_that_is_no_number_or_negative_is_named(wrong: dict[str, object]) -> None:
    (name,) = wrong

    with pytest.raises(ValueError, match=f"{name} is .*: give a number, 0 or more"):
        PublisherOptions(**wrong)  # type: ignore[arg-type]  # the case


@pytest.mark.parametrize("kind", [Publisher, AsyncPublisher])
def test_a_publisher_has_at_most_six_parameters(kind: type) -> None:
    assert len(inspect.signature(kind).parameters) <= 6
