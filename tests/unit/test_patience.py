"""Calls that are repeated where no engine waits."""

import logging

import pytest
from tenacity import wait_none

from kaption.connections import patience
from kaption.connections.errors import Fatal, Retry
from kaption.connections.patience import repeated
from kaption.objectstore.open import patiently


class Failing:
    """Fails so many times, then returns "done"."""

    def __init__(self, times: int, error: type[Exception] = Retry) -> None:
        self.left, self.calls, self.error = times, 0, error

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.left:
            raise self.error(f"failure {self.calls}")
        return "done"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "WAIT", wait_none())


@pytest.mark.parametrize(("failures", "lines"), [(0, 0), (1, 1), (5, 1)])
def test_a_wait_for_the_store_is_told_once_and_never_on_the_standard_output(
    failures: int,
    lines: int,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert patiently(Failing(failures)) == "done"
    told = [record.getMessage() for record in caplog.records]
    assert told == ["waiting for the object store: failure 1"] * lines
    assert capsys.readouterr().out == ""


def test_what_no_repetition_mends_is_raised_at_once() -> None:
    call = Failing(2, Fatal)
    with pytest.raises(Fatal, match="failure 1"):
        patiently(call)
    assert call.calls == 1


def test_without_time_nothing_is_repeated() -> None:
    call = Failing(1)
    with pytest.raises(Retry, match="failure 1"):
        repeated(call, lambda _: True, 0)
    assert call.calls == 1


def test_the_last_error_is_raised_when_the_time_is_over() -> None:
    call = Failing(10_000_000)
    with pytest.raises(Retry) as raised:
        repeated(call, lambda error: isinstance(error, Retry), 0.05)
    assert str(raised.value) == f"failure {call.calls}"
    assert call.calls > 1
