"""The program `kaption` before and around its commands."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from importlib.abc import MetaPathFinder
from importlib.metadata import version
from pathlib import Path

import botocore.exceptions
import kafka.errors
import pytest
import redis

from kaption.workers.cli import app, main
from support.program import PROGRAM

pytestmark = pytest.mark.slow  # most of these tests start the program


def kaption(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    bare = {name: each for name, each in os.environ.items() if not name.startswith("KAPTION_")}
    return subprocess.run(
        [PROGRAM, *arguments],
        env={**bare, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )


def test_ctrl_c_while_modules_are_loaded_ends_in_silence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(MetaPathFinder):
        def find_spec(self, name: str, *_: object) -> None:
            raise KeyboardInterrupt

    for name in [each for each in sys.modules if each.startswith("kaption.workers.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("kaption.workers.cli.app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capfd.readouterr() == ("", "")


def test_the_version_is_shown() -> None:
    ended = kaption("--version")
    assert (ended.returncode, ended.stdout) == (0, f"kaption {version('kaption')}\n")


def test_a_second_ctrl_c_ends_a_run_that_is_about_to_stop() -> None:
    # Given a program that waits for long after the first signal, as for a server
    waits = (
        "import signal, time\n"
        "from kaption.workers.cli.run import Interruption\n"
        "signal.signal(signal.SIGINT, Interruption())\n"
        "try:\n    print('ready', flush=True); time.sleep(100)\n"
        "except KeyboardInterrupt:\n    print('stopping', flush=True); time.sleep(100)\n"
    )
    program = [sys.executable, "-c", waits]
    with subprocess.Popen(program, stdout=-1, stderr=-1, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        run.send_signal(signal.SIGINT)
        assert run.stdout.readline() == "stopping\n"
        # When the same signal comes twice at once, as `timeout` sends it, and once more later
        run.send_signal(signal.SIGINT)
        time.sleep(0.7)
        assert run.poll() is None
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
    # Then it ends with one line
    assert (run.returncode, said.strip()) == (
        130,
        "stopped at once. The same command goes on from here",
    )


def test_a_terminal_without_unicode_gets_escapes() -> None:
    ended = kaption("settings", "sink.spool", KAPTION_SINK__SPOOL="/ñ红", PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert r"sink.spool = /\xf1\u7ea2" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status", "--interval", "-1"], "invalid value for '--interval': .* than or equal to 0"),
        (["run"], r"missing argument 'INPUT' \(`kaption run --help` says"),
        (["produce", "x", "--bogus"], "no such option: --bogus"),
        (["run", "a", "b", "--model", "x"], r"no such option: --model \(Possible options: .*mod"),
        (["runn", "x"], "no such command 'runn'. Did you mean 'run'"),
        (["topics", "crate"], r"no such command 'crate'.*`kaption topics --help`"),
        (["compact", "--below"], "option '--below' requires an argument"),
        (["settings", "a", "b"], r"got unexpected extra argument\(s\) \(b\)"),
        (["run", "--models", "tiny", "a", "b"], "invalid value for '--models': 'tiny' is not one"),
        (["--bogus"], "no such option: --bogus"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["kaption", *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (2, "")
    assert re.match(f"kaption: {said}", told.err)
    assert told.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["topics"]])
def test_without_a_command_the_help_is_shown(arguments: list[str]) -> None:
    ended = kaption(*arguments)
    assert "Usage: kaption" in ended.stdout + ended.stderr
    assert "says what to write" not in ended.stdout + ended.stderr


SORTED_BY_NOBODY = {
    "Redis": redis.ResponseError("WRONGTYPE of\nthis key"),
    "S3": botocore.exceptions.UnknownKeyError(value="x", param="y", choices="z"),
    "Kafka": kafka.errors.UnsupportedVersionError(),
}


def assert_one_line(
    error: Exception,
    start: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A command that ends with this error says one line that starts so, and exits with 1."""

    def fails(**_: object) -> None:
        raise error

    monkeypatch.setattr(app, "app", fails)
    with pytest.raises(SystemExit) as ended:
        app.main()
    told = capsys.readouterr().err
    assert ended.value.code == 1
    assert told.startswith(start)
    assert told.count("\n") == 1


@pytest.mark.parametrize("server", SORTED_BY_NOBODY)
def test_any_error_of_a_servers_library_is_told_in_one_line(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_one_line(SORTED_BY_NOBODY[server], f"kaption: {server}: ", monkeypatch, capsys)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left"), "a file that is being written: No space left; m"),
        (OSError(errno.EDQUOT, "Quota", "out/a"), "out/a: Quota; make room and give the same com"),
        (OSError(errno.EFBIG, "File too large"), "a file that is being written: File too large"),
        (OSError(errno.EROFS, "Read-only", "out/a"), "out/a: Read-only"),
        (OSError(errno.EACCES, "Denied", "in.csv"), "in.csv: Denied"),
        (FileNotFoundError(errno.ENOENT, "No such file", "in.json"), "in.json: No such file"),
    ],
    ids=str,
)
def test_what_the_machine_refuses_is_told_in_one_line(
    error: OSError, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_one_line(error, f"kaption: cannot use {said}", monkeypatch, capsys)


@pytest.mark.parametrize("command", [["audit", "import"], ["takedown", "--file"]])
@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file or directory"), ("a folder", "Is a directory"), (b"\xff\xfe[", "UTF-8")],
)
def test_a_file_of_the_user_that_cannot_be_read_is_told_in_one_line(
    command: list[str], content: bytes | str | None, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "given"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content:
        file.mkdir()
    ended = kaption(*command, str(file))
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended.stderr
    assert re.match(f"kaption: .*{file} .*{said}", ended.stderr)


@pytest.mark.parametrize(
    "command",
    [
        ["takedown", "example.org", "--yes"],
        ["takedown", "example.org", "--lift"],
        ["recheck", "r.jsonl"],
        ["compact"],
        ["consume", "p.jsonl"],
        ["rebuild", "redis"],
        ["audit", "serve"],
        ["audit", "export", "tasks"],
    ],
    ids=" ".join,
)
def test_a_command_about_a_data_set_makes_no_store_where_none_is(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a user who forgot to name the store, which is a folder here by default
    monkeypatch.chdir(tmp_path)
    # When the command is given
    ended = kaption(*command)
    # Then one line says which setting to set, and nothing is written
    assert ended.returncode == 1
    said = "there is no folder kaption-store: set store.url (KAPTION_STORE__URL) to the store of"
    assert ended.stderr == f"kaption: {said} the data set\n"
    assert list(tmp_path.iterdir()) == []
