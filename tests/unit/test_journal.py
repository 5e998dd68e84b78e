"""OUT of a run: lines that a person can read, and what an interrupted run is known by."""

import base64
import errno
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kaption.consumers import Read
from kaption.producers.sources import Unreadable
from kaption.schemas import DeadLetter, Position, Reason, RejectedPair
from kaption.schemas.dead_letter import OriginalHeader
from kaption.schemas.wire import ORIGIN_HEADER
from kaption.workers.batch.journal import Journal
from kaption.workers.settings import Settings, UserError

NOW = datetime(2026, 11, 29, tzinfo=UTC)
OF = {"input": "jsonl:/pairs.jsonl", "models": ["demo"]}
PLACE = Position("pairs.dead", 0, 5)
SPENT = {"captioner": "vlm", "result": "asked", "model_seconds": 1.0}
TOOK = {
    "stages": [
        {
            "stage": "recaption",
            "software": "kaption/1",
            "config_hash": "0" * 16,
            "finished_at": NOW.isoformat(),
            "seconds": 1.0,
            "captioners": [SPENT],
        }
    ]
}


def dead(journal: Journal, number: int, value: bytes, *headers: tuple[str, bytes]) -> Read:
    origin = (ORIGIN_HEADER, str(journal.origin(number)).encode())
    letter = DeadLetter(
        topic="pairs.raw",
        partition=0,
        offset=7,
        timestamp_ms=0,
        key=None,
        value=value,
        headers=tuple(OriginalHeader(key=key, value=each) for key, each in (*headers, origin)),
        stage="ingest",
        error="not a valid RawPair",
        attempts=1,
        died_at=NOW,
    )
    return Read(PLACE, letter, [])


def rejected(journal: Journal, number: int, record: dict[str, object]) -> Read:
    pair = RejectedPair(
        pair_id="p",
        stage="ingest",
        reason=Reason.TOO_SMALL,
        detail="12x12",
        rejected_at=NOW,
        record_schema="RawPair/1",
        record=record,
    )
    return Read(PLACE, pair, [(ORIGIN_HEADER, str(journal.origin(number)).encode())])


def told(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_rejection_is_told_by_number_text_and_reason(tmp_path: Path) -> None:
    image = {"url": "https://a.example/a.jpg"}
    record: dict[str, object] = {
        "pair_id": "p",
        "text": "ein Krug",
        "image": image,
        "provenance": TOOK,
    }
    with Journal(tmp_path / "out", OF) as journal:
        journal.places[7] = "pairs.jsonl:9"
        journal.add(rejected(journal, 7, record))
        (line,) = told(tmp_path / "out" / "rejected.jsonl")
    # What a person looks for comes first, and what captioners took last.
    assert list(line)[-1] == "provenance"
    assert line.pop("provenance")
    assert journal.places == {}
    assert line == {
        "number": 7,
        "place": "pairs.jsonl:9",
        "stage": "ingest",
        "reason": "too_small",
        "detail": "12x12",
        "pair_id": "p",
        "text": "ein Krug",
        "image": "https://a.example/a.jpg",
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"{no json}", "{no json}"),
        ("caf\u00e9".encode("latin-1"), "caf\\xe9"),
        (b"x" * 9_000, "x" * 2_000),
        (b'"a string"', '"a string"'),
        (b"", ""),
    ],
)
def test_a_dead_letter_shows_its_line_and_no_bytes(value: bytes, text: str, tmp_path: Path) -> None:
    with Journal(tmp_path / "out", OF) as journal:
        journal.places[4] = "/data/pairs.jsonl:4"
        journal.add(dead(journal, 4, value))
        (line,) = told(tmp_path / "out" / "dead.jsonl")
    assert (line["number"], line["place"], line["text"]) == (4, "/data/pairs.jsonl:4", text)
    assert line["error"] == "not a valid RawPair"


def test_a_dead_letter_tells_what_was_wrong_with_the_file(tmp_path: Path) -> None:
    found = Unreadable("pairs.jsonl:4", b'{"image": "none.jpg"}', "none.jpg: no such file")
    with Journal(tmp_path / "out", OF) as journal:
        journal.add(dead(journal, 4, found.raw, *found.headers))
        (line,) = told(tmp_path / "out" / "dead.jsonl")
    assert line["error"] == "none.jpg: no such file"


def test_a_copy_names_the_number_of_the_input_that_was_kept(tmp_path: Path) -> None:
    with Journal(tmp_path / "out", OF) as journal:
        read = rejected(journal, 9, {"pair_id": "p", "text": "a jug"})
        assert isinstance(read.record, RejectedPair)
        copy = read.record.model_copy(update={"detail": f"of {journal.origin(7)}: no better text"})
        journal.add(read._replace(record=copy))
        (line,) = told(tmp_path / "out" / "rejected.jsonl")
    assert line["detail"] == "of number 7: no better text"


def test_the_bytes_of_an_image_are_not_shown(tmp_path: Path) -> None:
    inline = base64.b64encode(b"\xff\xd8" * 5_000).decode()
    pair: dict[str, object] = {"pair_id": "p", "text": "a jug", "image": {"inline": inline}}
    with Journal(tmp_path / "out", OF) as journal:
        journal.add(dead(journal, 1, json.dumps(pair).encode()))
        journal.add(rejected(journal, 2, pair))
        for name in ("dead.jsonl", "rejected.jsonl"):
            (line,) = told(tmp_path / "out" / name)
            assert (line["pair_id"], line["text"], line["image"]) == ("p", "a jug", None)
            assert len(json.dumps(line)) < 300


def test_a_run_that_did_not_begin_leaves_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path / "a" / "out", OF):
        pass
    assert not (tmp_path / "a" / "out").exists()
    (tmp_path / "empty").mkdir()
    with Journal(tmp_path / "empty", OF):
        pass
    assert list((tmp_path / "empty").iterdir()) == []


def test_an_interrupted_run_is_known_again_and_half_a_line_is_dropped(tmp_path: Path) -> None:
    # Given a run that was killed while it wrote a line
    out = tmp_path / "out"
    with Journal(out, OF) as first:
        first.begin()
        first.add(rejected(first, 3, {"text": "a"}))
        first.add(dead(first, 5, b"?"))
    with (out / "rejected.jsonl").open("a") as file:
        file.write('{"number": 9, "sta')
    # When the same command is given
    with Journal(out, OF) as second:
        tally = second.known(Settings())
    # Then it has the same name and knows the whole lines
    assert (second.name, second.attempt) == (first.name, 2)
    assert [number for number, outcomes in enumerate(tally.seen) if outcomes] == [3, 5]
    assert tally.total == 2
    # And a run over something else is refused
    with pytest.raises(UserError, match="interrupted run with another input and models"):
        Journal(out, {"input": "jsonl:/other.jsonl", "models": ["small"]})


def test_a_text_with_line_breaks_of_any_kind_is_known_again(tmp_path: Path) -> None:
    # Given an interrupted run that refused texts with what Python and others call a line break
    breaks = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
    with Journal(tmp_path / "out", OF) as first:
        first.begin()
        for number, each in enumerate(breaks):
            first.add(rejected(first, number, {"text": f"a{each}b"}))
            first.add(dead(first, number + 20, f"a{each}b".encode()))
    # When the same command is given, then it knows each of them
    with Journal(tmp_path / "out", OF) as second:
        assert second.known(Settings()).total == 2 * len(breaks)


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is not an empty folder"):
        Journal(tmp_path, OF)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_that_is_read_only_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(UserError, match=f"{tmp_path} cannot be written: Read-only file system"):
        Journal(tmp_path, OF)


def test_a_disk_that_is_full_at_the_end_is_told_and_the_run_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a run that has begun, and a disk that takes only a part of its last file
    out, write = tmp_path / "out", Path.write_text

    def full(path: Path, text: str, *encoding: str) -> None:
        write(path, text[:10], *encoding)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Journal(out, OF) as journal:
        journal.begin()
        monkeypatch.setattr(Path, "write_text", full)
        # When it ends, then one line says what to do
        with pytest.raises(UserError, match=r"summary\.json \(No space left on device\)\. .*make"):
            journal.finish({"pairs": 3})
    # And once there is room, the same command goes on
    monkeypatch.undo()
    with Journal(out, OF) as again:
        assert again.attempt == 2
        again.finish({"pairs": 3}, goes_on=False)
    assert sorted(each.name for each in out.iterdir()) == [
        "dead.jsonl",
        "rejected.jsonl",
        "summary.json",
    ]


def test_an_input_keeps_its_number_whatever_is_added_or_taken_away(tmp_path: Path) -> None:
    # Given a run over inputs, one of them twice, that was interrupted or has ended
    with Journal(tmp_path / "out", OF) as first:
        first.begin()
        assert [first.inputs.number(each) for each in (b"b", b"c", b"d", b"c")] == [1, 2, 3, 4]
        first.finish({})
    # When others were added before and between, and some are gone
    with Journal(tmp_path / "out", OF) as second:
        second.begin()
        numbers = [second.inputs.number(each) for each in (b"a", b"c", b"cc", b"c", b"d", b"c")]
        # Then the old ones have their numbers, and there is no old summary
        assert numbers == [5, 2, 6, 4, 3, 7]
        assert not (second.out / "summary.json").exists()
    # And once more, after a full disk took half of an entry
    with (tmp_path / "out" / ".inputs").open("ab") as file:
        file.write(b"half")
    with Journal(tmp_path / "out", OF) as third:
        assert [third.inputs.number(each) for each in (b"e", b"a", b"cc", b"f")] == [8, 5, 6, 9]


def test_a_second_run_into_the_same_folder_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    # Given a run that goes on
    with Journal(tmp_path / "out", {"input": "a"}) as first:
        first.begin()
        before = (first.out / "run.json").read_bytes()
        # When the same command is given once more, then it is one line
        with pytest.raises(UserError, match=r"another run writes to .*out now"):
            Journal(tmp_path / "out", {"input": "a"})
        assert (first.out / "run.json").read_bytes() == before
        assert (first.out / "rejected.jsonl").exists()
    # And after its end the command goes on
    with Journal(tmp_path / "out", {"input": "a"}) as second:
        assert second.attempt == 2


def test_a_run_that_was_killed_before_it_began_leaves_a_folder_for_the_next(tmp_path: Path) -> None:
    # Given what a killed run leaves while it loads its models
    out = tmp_path / "out"
    killed = Journal(out, OF)
    (killed.servers / "valkey").mkdir(parents=True)
    for file in killed._files.values():
        file.close()
    # When the next one begins, of whatever input
    with Journal(out, {**OF, "input": "jsonl:/others.jsonl"}) as journal:
        journal.begin()
    # Then the folder is its own, and one with outcomes or other files is refused
    assert journal.attempt == 1
    (out / "run.json").unlink()
    (out / "dead.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match="is not an empty folder"):
        Journal(out, OF)


def test_ctrl_c_while_the_folder_is_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kaption.workers.batch.journal.fcntl.flock", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Journal(tmp_path / "out", OF)
    assert not (tmp_path / "out").exists()
