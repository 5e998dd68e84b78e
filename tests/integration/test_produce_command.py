"""`kaption produce` says what it published, what is wrong, and how far it is."""

import re
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kaption.connections.settings import KafkaConnection
from kaption.workers.cli.app import app
from support.feeding import published
from support.program import kaption
from support.topics import environment


def test_the_command_continues_where_it_stopped(
    connection: KafkaConnection, tmp_path: Path
) -> None:
    # Given a table with names of its own
    source = tmp_path / "pairs.csv"
    source.write_text("photo,text\nhttps://cdn.example/1.jpg,0\nonly one field\n")
    arguments = ("produce", str(source), "-o", "image_column=photo", "--rate", "100")
    # When it is published, grows, and is published again, and again
    first = kaption(*arguments, settings=environment(connection))
    with source.open("a") as file:
        file.write("https://cdn.example/2.jpg,1\n")
    second = kaption(*arguments, settings=environment(connection))
    third = kaption(*arguments, settings=environment(connection))
    # Then each run says what it did
    assert "2 records published, 1 of them unreadable" in first.stdout, first.stderr
    assert "pairs.csv:row 2: line 3 has 1 values, the header 2" in first.stderr
    assert "2 records were published before" in second.stderr
    assert "1 records published, 0 of them unreadable" in second.stdout
    assert "nothing is new" in third.stderr
    assert published(connection) == Counter({"0": 1, "?": 1, "1": 1})


def test_the_command_writes_its_progress_to_a_log_too(
    connection: KafkaConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "pairs.csv"
    rows = (f"https://cdn.example/{number}.jpg,a\n" for number in range(3_000))
    source.write_text("url,text\n" + "".join(rows))
    monkeypatch.setattr("kaption.workers.cli.common._LINE_S", 0)
    for name, value in environment(connection).items():
        monkeypatch.setenv(name, value)

    done = CliRunner().invoke(app, ["produce", str(source)])

    lines = re.findall(r"^([0-9]+) records published, [0-9]+/s$", done.stderr, re.MULTILINE)
    assert lines == ["0", "1000", "2000", "3000"], done.output
    assert "3000 records published, 0 of them unreadable" in done.stdout


def test_the_command_says_what_is_wrong_in_a_line(
    connection: KafkaConnection, tmp_path: Path
) -> None:
    source = tmp_path / "pairs.csv"
    source.write_text("photo,text\nhttps://cdn.example/1.jpg,0\n")

    for arguments, said in (
        ((str(source),), "image_column"),
        (("none.jsonl",), "there is no file none.jsonl"),
        ((str(source), "-o", "color"), "write NAME=VALUE"),
    ):
        ended = kaption("produce", *arguments, settings=environment(connection))
        assert ended.returncode == 1
        assert said in ended.stderr
        assert "Traceback" not in ended.stderr
