"""`kaption run` on the user's own pairs: every input has exactly one outcome."""

import io
import json
import shutil
import signal
import socket
import subprocess
from functools import partial
from pathlib import Path

import pytest
import skimage.data
from rich.console import Console

from kaption.consumers import Read
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.objects import read_rows
from kaption.objectstore.folder import FolderStore
from kaption.producers.sources import Found, Unreadable, open_source
from kaption.schemas import DeadLetter
from kaption.workers.batch.journal import Journal
from kaption.workers.batch.run import BatchRun
from kaption.workers.batch.servers import ServerAddresses, servers
from kaption.workers.batch.tally import Follower, Tally
from kaption.workers.runtime.pipeline import Pipeline
from kaption.workers.settings import Settings
from support.dataset_faults import chain_faults, object_faults
from support.program import PROGRAM, kaption

PHOTOGRAPHS = {
    "astronaut.png": "portrait of astronaut Eileen Collins in an orange suit",
    "chelsea.png": "close-up of the face of a tabby cat",
    "coffee.png": "a cup of coffee with a spoon on a wooden table",
    "rocket.jpg": "a rocket on its launch pad by night",
}


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder with photographs of scikit-image."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in PHOTOGRAPHS:
        shutil.copy(Path(skimage.data.__file__).parent / name, folder / name)
    return folder


def _write(path: Path, lines: list[object]) -> Path:
    path.write_text(
        "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    )
    return path


def test_photographs_come_out_in_the_shards(photographs: Path, tmp_path: Path) -> None:
    # Given photographs with texts, one of them twice, a line that is not JSON, a missing file
    pairs: list[object] = [{"image": name, "text": text} for name, text in PHOTOGRAPHS.items()]
    pairs.append({"image": "coffee.png", "text": PHOTOGRAPHS["coffee.png"], "source": "elsewhere"})
    pairs += ["{no json}\n", {"image": "none.jpg", "text": "a file that is not there"}]
    source = _write(photographs / "pairs.jsonl", pairs)
    out = tmp_path / "out"
    # When the pipeline runs over them (the demo model's thresholds do not apply to photographs)
    config = tmp_path / "kaption.toml"
    config.write_text("[score]\ngood_score = -1.0\n[select]\nmin_score = -1.0\n")
    ended = kaption("run", source, out, "--models", "demo", "--config", config)
    # Then each input has an outcome, and bad lines are named
    assert ended.returncode == 0, ended.stderr
    assert "pairs.jsonl:6" in ended.stderr
    assert "pairs.jsonl:7" in ended.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["published"] == 7
    assert summary["clean"] == len(PHOTOGRAPHS)
    assert summary["rejected"] == {"ingest.duplicate": 1}
    assert summary["dead"] == {"ingest": 2}
    assert summary["faults"] == []
    # And the shards hold what was kept, with the user's words
    objects = FolderStore(out / "store")
    manifests = read_manifests(objects, "dataset")
    assert chain_faults(manifests) == []
    assert object_faults(objects, "dataset", manifests) == []
    rows = [row for manifest in manifests for row in read_rows(objects, "dataset", manifest)]
    assert {row["text"] for row in rows} == set(PHOTOGRAPHS.values())
    # And rejections and dead letters are in the files beside them
    (rejected,), dead = (
        [json.loads(line) for line in (out / name).read_text().splitlines()]
        for name in ("rejected.jsonl", "dead.jsonl")
    )
    assert rejected["place"] == f"pairs.jsonl:{rejected['number']}"
    assert rejected["text"] == PHOTOGRAPHS["coffee.png"]
    assert sorted(line["place"] for line in dead) == ["pairs.jsonl:6", "pairs.jsonl:7"]


def test_many_bad_lines_do_not_stop_the_run(photographs: Path, tmp_path: Path) -> None:
    # Given more bad lines than the limit of dead letters, and good lines after them
    bad = 60
    pairs: list[object] = ["{no json}\n"] * bad
    pairs += [{"image": name, "text": text} for name, text in PHOTOGRAPHS.items()]
    source = _write(photographs / "pairs.jsonl", pairs)
    out = tmp_path / "out"
    # When the pipeline runs over them
    ended = kaption("run", source, out, "--models", "demo")
    # Then every good line has an outcome
    assert ended.returncode == 0, ended.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["clean"] + sum(summary["rejected"].values()) == len(PHOTOGRAPHS)
    # And the first bad lines are told, and no flood of them
    assert "pairs.jsonl:1:" in ended.stderr
    assert ended.stderr.count("not JSON") == 20
    assert ended.stderr.count("more inputs cannot be read: dead.jsonl names each") == 1
    # And every bad line is a dead letter that names the line
    dead = [json.loads(line) for line in (out / "dead.jsonl").read_text().splitlines()]
    assert {each["text"] for each in dead} == {"{no json}"}
    assert {each["place"].rpartition("/")[2] for each in dead} == {
        f"pairs.jsonl:{number}" for number in range(1, bad + 1)
    }
    assert sorted(each["number"] for each in dead) == list(range(1, bad + 1))


def test_a_lost_outcome_ends_the_run_with_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a run that misses one outcome
    monkeypatch.setattr("kaption.workers.batch.standstill._PATIENCE_S", 1.0)
    add = Tally.add

    def add_others(tally: Tally, read: Read) -> None:
        if not isinstance(read.record, DeadLetter) or read.record.value != b"lost":
            add(tally, read)

    monkeypatch.setattr(Tally, "add", add_others)
    items = [Found(Unreadable("a", each, "no JSON"), "") for each in (b"found", b"lost")]
    # When it runs
    with (
        Journal(tmp_path / "out", {}) as journal,
        servers(Settings(models="demo"), journal, ServerAddresses()) as settings,
    ):
        report = BatchRun(settings, items, journal, Console(quiet=True)).run()
    # Then it ends and reports the fault
    assert report.faults == ("1 of 2 inputs have no outcome",)


@pytest.mark.parametrize(
    ("kind", "moment"), [(Pipeline, "join"), (Follower, "finish"), (BatchRun, "_report")]
)
def test_ctrl_c_from_the_last_shards_on_leaves_none_of_them_and_tells_what_is_kept(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type, moment: str
) -> None:
    # Given a run whose pairs are all at the sink, and Ctrl-C while it waits for the last shards
    whole = getattr(kind, moment)

    def interrupted(*_: object) -> None:
        monkeypatch.setattr(kind, moment, whole)
        raise KeyboardInterrupt

    monkeypatch.setattr(kind, moment, interrupted)
    console = Console(file=io.StringIO(), width=200)
    thresholds = {"score": {"good_score": -1.0}, "select": {"min_score": -1.0}}
    given = Settings.model_validate({"models": "demo", **thresholds})
    pairs: list[object] = [{"image": name, "text": text} for name, text in PHOTOGRAPHS.items()]
    items = open_source(str(_write(photographs / "pairs.jsonl", pairs))).read()
    # When it runs
    with (
        Journal(tmp_path / "out", {}) as journal,
        servers(given, journal, ServerAddresses()) as settings,
        pytest.raises(KeyboardInterrupt),
    ):
        BatchRun(settings, items, journal, console).run()
    # Then all of them are in shards, and it says so
    assert isinstance(console.file, io.StringIO)
    assert f"Kept: {len(PHOTOGRAPHS)} clean pairs in shards" in console.file.getvalue()
    manifests = read_manifests(FolderStore(tmp_path / "out" / "store"), "dataset")
    assert sum(manifest.pairs for manifest in manifests) == len(PHOTOGRAPHS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "none.jsonl", "out"], "there is no file none.jsonl"),
        (
            ["run", __file__, str(Path(__file__).parent), "--format", "jsonl", "--models", "demo"],
            "is not an empty folder",
        ),
        (["work", "polish"], "there is no stage 'polish'"),
        (["schema", "Nothing"], "no record is called 'Nothing'"),
        (["settings", "--config", "none.toml"], "settings file none.toml"),
    ],
)
def test_a_mistake_of_the_user_is_one_line(arguments: list[str], said: str) -> None:
    ended = kaption(*arguments)
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_model_that_cannot_be_loaded_stops_the_run(photographs: Path, tmp_path: Path) -> None:
    source = _write(photographs / "pairs.jsonl", [{"image": "coffee.png", "text": "coffee"}])
    config = tmp_path / "kaption.toml"
    config.write_text('[clip]\nmodel = "local-dir:nowhere"\n')
    ended = kaption("run", source, tmp_path / "out", "--models", "demo", "--config", config)
    assert ended.returncode == 1
    assert not (tmp_path / "out").exists()
    assert "nowhere" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_interrupted_run_ends_at_once(tmp_path: Path) -> None:
    # Given a run that waits for a silent web server
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.jpg"
        source = _write(tmp_path / "pairs.jsonl", [{"image": url, "text": "a"}])
        config = tmp_path / "kaption.toml"
        config.write_text('[ingest.fetch]\nallow_networks = ["127.0.0.0/8"]\n')
        run = subprocess.Popen(
            [PROGRAM, "run", source, tmp_path / "out", "--models", "demo", "--config", config],
            stderr=subprocess.PIPE,
            text=True,
            # A background process of a script ignores SIGINT, and its children would too.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        connection, _ = silent.accept()
        # When it is interrupted
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
        connection.close()
    # Then it ends with the status of an interrupted program, without a traceback
    assert run.returncode == 130
    assert "Traceback" not in said
    # And it says what is kept
    assert "Kept: 0 clean pairs in shards" in said


def test_an_interrupted_run_goes_on_where_it_stopped(photographs: Path, tmp_path: Path) -> None:
    # Given a run over good and bad lines that is interrupted at a silent web server
    config, out = tmp_path / "kaption.toml", tmp_path / "out"
    config.write_text(
        '[ingest.fetch]\nallow_networks = ["127.0.0.0/8"]\nattempts = 1\n'
        "total_timeout_s = 600.0\nanswer_timeout_s = 600.0\n"
        "[score]\ngood_score = -1.0\n[select]\nmin_score = -1.0\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.jpg"
        pairs: list[object] = [{"image": name, "text": text} for name, text in PHOTOGRAPHS.items()]
        # The silent one is last: outcomes of a partition come in the order of its records.
        pairs += ["{no json}\n", pairs[0], {"image": url, "text": "an image that never comes"}]
        source = _write(photographs / "pairs.jsonl", pairs)
        command = ("run", source, out, "--models", "demo", "--config", config)
        run = subprocess.Popen([PROGRAM, *command], stderr=subprocess.PIPE, text=True)
        connection, _ = silent.accept()
        # A line every ten seconds tells how many pairs are done: all but the one that never comes.
        assert run.stderr is not None
        assert any(line.startswith("6 of ") for line in run.stderr)
        run.send_signal(signal.SIGINT)
        assert "Kept: 4 clean pairs in shards" in run.communicate(timeout=60)[1]
        connection.close()
    # When another input is given for its folder, and then the same command
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(photographs / "coffee.png", elsewhere)
    other = kaption("run", elsewhere, out, "--format", "folder", "--models", "demo")
    ended = kaption(*command)
    # Then the other one is refused, and every input has exactly one outcome
    assert "interrupted run with another input" in other.stderr
    assert ended.returncode == 0, ended.stderr
    assert "going on: " in ended.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["published"], summary["clean"], summary["dead"]) == (7, 4, {"ingest": 1})
    assert sum(summary["rejected"].values()) == 2
    manifests = read_manifests(FolderStore(out / "store"), "dataset")
    assert sum(manifest.pairs for manifest in manifests) == 4
    assert len((out / "dead.jsonl").read_text().splitlines()) == 1
    # And when the input grew at its beginning, the new pair is done and the old ones are not
    grown = [{"image": "coffee.png", "text": "the same cup again"}, *pairs]
    shutil.copy(Path(skimage.data.__file__).parent / "cell.png", photographs)
    grown.insert(2, {"image": "cell.png", "text": "a cell under the microscope"})
    _write(source, grown)
    ended = kaption(*command)
    assert ended.returncode == 0, ended.stderr
    assert "going on: 7 inputs have their outcome already" in ended.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["published"], summary["clean"], summary["dead"]) == (9, 5, {"ingest": 1})
    assert summary["rejected"]["ingest.duplicate"] == 2
