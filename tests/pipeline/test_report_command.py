"""`kaption report`: a deployment's topics, store and Redis, or a run's folder, as one HTML file."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from kafka import KafkaProducer
from typer.testing import CliRunner, Result

from kaption.connections.kafka.partitioner import partition_of
from kaption.objectstore import BlobStore, open_store
from kaption.objectstore.blobs import blob_key
from kaption.schemas import CleanPair, Position, Reason, TakedownKind, encode
from kaption.schemas.topics import CLEAN, DEAD, REJECTED
from kaption.workers.audit.decision import Verdict
from kaption.workers.cli.app import app
from kaption.workers.cli.run import _write_report
from kaption.workers.local import Tansu
from kaption.workers.report.census import Census, KeptPair
from kaption.workers.report.gallery import Gallery, read_cards, write_cards
from kaption.workers.settings import Settings, UserError
from kaption.workers.stores.answers import Answers, SketchedImage
from kaption.workers.stores.client import connect_redis
from kaption.workers.takedown.withdraw import withdraw
from support.auditing import AuditSite, audit_site
from support.reporting import ATTACKS, agrees, died, kept, owner, refused, told
from support.stream_records import jpeg, take_down

pytestmark = pytest.mark.slow


@pytest.fixture
def site(tansu: Tansu, topic_prefix: str, redis_url: str, tmp_path: Path) -> AuditSite:
    return audit_site(tansu.bootstrap, topic_prefix, redis_url, tmp_path)


def kaption(site: AuditSite, *words: str) -> Result:
    variables = site.environment
    return CliRunner().invoke(app, words, env=variables)


def numbered(site: AuditSite, number: int, text: str) -> CleanPair:
    """Publish a pair with this text."""
    pair = kept(BlobStore(open_store(site.settings.store)), number, text)
    site.send(CLEAN, pair)
    return pair


def test_a_deployment_is_told_without_what_was_replaced_withdrawn_or_taken_down(
    site: AuditSite, tmp_path: Path
) -> None:
    # Given pairs of which one was corrected by a person, one withdrawn and one taken down
    for number in (0, 1):
        site.publish(number)
    plain, withdrawn, gone, also = (
        numbered(site, number, text)
        for number, text in ((2, "a plain cat"), (3, "withdrawn cat"), (4, "gone dog"), (5, "kept"))
    )
    withdraw(site.settings.kafka, CLEAN, [(partition_of(b"pair-3", 2), withdrawn.pair_id)])
    objects = open_store(site.settings.store)
    take_down(objects, TakedownKind.PAIR, gone.pair_id)
    take_down(objects, TakedownKind.PAIR, "small copy")
    # And a copy that only looks alike, with an image of its own, and others refused
    copy = refused(plain, "copy", Reason.NEAR_DUPLICATE, f"of {owner(plain)}")
    site.send(REJECTED, copy)
    site.send(REJECTED, refused(also, "small copy", Reason.TOO_SMALL, "covered detail"))
    image = SketchedImage(
        **dict(plain.image) | {"blob": BlobStore(objects).put(jpeg(9), "image/jpeg")}
    )
    _answer(site, image)
    with site.desk() as desk:
        seen = desk.seen("pair-0", "ana")
        desk.decide("ana", "pair-0", Verdict.EDIT, seen, text="written by ana")
    # When the report is made
    path = tmp_path / "report.html"
    ended = kaption(site, "report", "--to", str(path))
    # Then each pair counts once, as it is now
    assert ended.exit_code == 0, ended.output
    page = path.read_text("utf-8")
    numbers = told(page)
    assert (numbers["clean"], numbers["rejected"], numbers["total"]) == (4, 2, 6)
    assert (numbers["human"], numbers["vlm"]) == (1, 3)
    assert "written by ana" in page
    for hidden in ("a machine wrote this about 0", "withdrawn cat", "gone dog", "covered detail"):
        assert hidden not in page
    assert page.count("<dt>corrected</dt><dd>1</dd>") == 1
    assert "<dt>sampled</dt><dd>2</dd>" in page
    copies = page[page.index('<section id="copies"') : page.index('<section id="texts"')]
    one, other = [part.split('"')[0] for part in copies.split('<img src="')[1:]]
    assert one != other
    # And a bounded look says that it is a sample
    assert kaption(site, "report", "--to", str(path), "--most", "2").exit_code == 0
    assert "A sample: of pairs.clean only about the newest 2 messages" in path.read_text("utf-8")


def test_an_empty_deployment_has_a_report_and_broken_messages_are_counted(
    site: AuditSite, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    assert kaption(site, "report", "--to", str(path)).exit_code == 0
    assert told(path.read_text("utf-8"))["total"] == 0
    kafka = site.settings.kafka
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    producer.send(kafka.topic_prefix + REJECTED.name, b"no record")
    producer.send(kafka.topic_prefix + DEAD.name, encode(died(ATTACKS[0])))
    producer.close()
    assert kaption(site, "report", "--to", str(path)).exit_code == 0
    page = path.read_text("utf-8")
    assert "1 messages could not be read" in page
    assert told(page)["dead"] == 1


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """The folder of a finished run with ten pairs, whose images are in its store."""
    out = tmp_path / "out"
    objects = open_store(Settings().store.model_copy(update={"url": str(out / "store")}))
    census, gallery = Census(), Gallery(300)
    for number, text in enumerate(ATTACKS):
        pair = kept(BlobStore(objects), number, text)
        census.count(pair)
        gallery.add(pair, owner(pair))
    write_cards(out / "sample.jsonl", gallery.cards())
    dataset = {"store": None, "prefix": "dataset"}
    summary = {"published": 10, "seconds": 1.0, "pairs_per_second": 10.0, "dataset": dataset}
    (out / "summary.json").write_text(json.dumps(summary | census.numbers()), "utf-8")
    return out


def test_the_report_of_a_folder_has_the_numbers_of_its_summary(run_folder: Path) -> None:
    made = CliRunner().invoke(app, ["report", str(run_folder)])
    assert made.exit_code == 0, made.output
    page = (run_folder / "report.html").read_text("utf-8")
    assert agrees(page, json.loads((run_folder / "summary.json").read_text()))
    assert page.count("<img src=") == 10
    # A takedown holds here, too, and a folder that was moved still has its images
    objects = open_store(Settings().store.model_copy(update={"url": str(run_folder / "store")}))
    take_down(objects, TakedownKind.DOMAIN, "example.org")
    moved = run_folder.rename(run_folder.with_name("moved"))
    assert CliRunner().invoke(app, ["report", str(moved)]).exit_code == 0
    assert (moved / "report.html").read_text("utf-8").count("<img src=") == 0


@pytest.mark.parametrize(("gone", "left"), [("store", 0), ("store/blobs", 0), ("", 10)])
def test_images_that_are_not_in_the_store_are_told_once(
    run_folder: Path, gone: str, left: int
) -> None:
    # Given a run whose store, or whose images, or nothing was deleted
    store = run_folder / "store"
    if gone:
        shutil.rmtree(run_folder / gone)
    # When its report is made again
    made = CliRunner().invoke(app, ["report", str(run_folder)])
    lines: list[str] = []
    _write_report(run_folder, Settings(), lines.append)
    # Then the page and the terminal say it, each once
    page = (run_folder / "report.html").read_text("utf-8")
    said = f"10 of 10 images are not in the store {store}"
    times = 0 if left else 1
    assert page.count("<img src=") == left
    assert [text.count(said) for text in (page, made.output, "".join(lines))] == [times] * 3


def test_a_single_image_that_is_gone_is_told(run_folder: Path) -> None:
    card = next(read_cards(run_folder / "sample.jsonl"))
    (run_folder / "store" / blob_key(str(card.blob))).unlink()

    made = CliRunner().invoke(app, ["report", str(run_folder)])

    assert "1 of 10 images are not in the store" in made.output


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_a_run_without_the_extra_succeeds_and_says_so_in_one_line(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == missing]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, missing, None)
    lines: list[str] = []
    _write_report(run_folder, Settings(), lines.append)
    assert lines == [
        f'the report needs {missing}, which is not installed: pip install "kaption[report]"'
    ]
    asked = CliRunner().invoke(app, ["report", str(run_folder)])
    assert isinstance(asked.exception, UserError)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "holds no run"),
        ({"run.json": "{}"}, "holds an interrupted run"),
        ({"summary.json": '{"published": 1, "clean": 1}'}, "another version"),
        ({"summary.json": "{"}, "another version"),
    ],
)
def test_a_folder_that_is_no_finished_run_is_a_clear_line(
    tmp_path: Path, files: dict[str, str], said: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    ended = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert isinstance(ended.exception, UserError)
    assert said in str(ended.exception)
    assert "report.html" not in os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("dataset", None),
        ("rejected", None),
        ("clean", "ten"),
        ("seconds", None),
        ("flow", []),
        ("best_caption", None),
    ],
)
def test_a_summary_that_was_changed_is_a_clear_line(
    run_folder: Path, name: str, changed: object
) -> None:
    path = run_folder / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: changed}))

    ended = CliRunner().invoke(app, ["report", str(run_folder)])

    assert isinstance(ended.exception, UserError)
    assert "files that were changed" in str(ended.exception)


@pytest.mark.parametrize("line", ["null", "[]", "5", '"x"', '{"captions": 5}'])
def test_a_sample_that_was_changed_is_a_clear_line(run_folder: Path, line: str) -> None:
    (run_folder / "sample.jsonl").write_text(line)

    ended = CliRunner().invoke(app, ["report", str(run_folder)])

    assert isinstance(ended.exception, UserError)
    assert "files that were changed" in str(ended.exception)


def test_rows_of_a_shard_count_as_the_records_do(tmp_path: Path) -> None:
    from kaption.objectstore.dataset.table import row

    pair = kept(
        BlobStore(open_store(Settings().store.model_copy(update={"url": str(tmp_path)}))), 1
    )
    records, rows = Census(), Census()
    records.count(pair)
    rows.count_clean(KeptPair.of_row(row("0-1", Position("t", 0, 1), pair)))
    assert rows.numbers() == records.numbers()


def _answer(site: AuditSite, image: SketchedImage) -> None:
    """Let Redis remember the image of every message of pairs.rejected."""
    given = site.settings
    answers = Answers(connect_redis(given.redis), given.redis.key_prefix, ttl_s=100)
    name = given.kafka.topic_prefix + REJECTED.name
    from kaption.consumers import TopicReader

    with TopicReader(given.kafka, [REJECTED]) as reader:
        places = [read.position for read in reader]
    assert {place.topic for place in places} == {name}
    answers.first(places, places, [image] * len(places))
