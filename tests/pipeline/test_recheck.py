"""`kaption recheck`: owners change their minds after their images were kept."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from kafka import KafkaProducer

from kaption.connections.settings import KafkaConnection
from kaption.consumers import TopicReader
from kaption.objectstore import BlobStore
from kaption.objectstore.dataset.takedowns import Takedowns
from kaption.objectstore.folder import FolderStore
from kaption.schemas import CleanPair, encode, headers_of
from kaption.schemas.topics import CLEAN
from kaption.workers.local import Tansu
from support.owners import XMP_HEAD, OwnersWeb, Said, jpeg_with, plain, xmp
from support.program import kaption
from support.sink_records import stored
from support.stream_records import write_shards
from support.topics import environment, with_topics

pytestmark = pytest.mark.slow

Recheck = Callable[..., subprocess.CompletedProcess[str]]
NAMES = ("same", "header", "file", "gone", "broken", "page")


@pytest.fixture
def web() -> Iterator[OwnersWeb]:
    with OwnersWeb() as web:
        for name in NAMES:
            web.answers[f"/{name}.jpg"] = Said(plain("JPEG"))
        yield web


@pytest.fixture
def kafka(tansu: Tansu, topic_prefix: str) -> KafkaConnection:
    return with_topics(tansu.bootstrap, topic_prefix)


@pytest.fixture
def recheck(kafka: KafkaConnection, redis_url: str, tmp_path: Path, web: OwnersWeb) -> Recheck:
    """Give the command, and a topic with a pair for each image of the site."""
    blobs = BlobStore(FolderStore(tmp_path / "store"))
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    for offset, name in enumerate(NAMES):
        pair = stored(blobs, offset).record
        image = pair.image.model_copy(update={"url": f"{web.url}/{name}.jpg"})
        pair = pair.model_copy(update={"image": image, "pair_id": name})
        producer.send(
            kafka.topic_prefix + CLEAN.name,
            encode(pair),
            key=name.encode(),
            headers=headers_of(pair),
        )
    producer.close()
    settings = {
        **environment(kafka),
        "KAPTION_REDIS__URL": redis_url,
        "KAPTION_STORE__URL": str(tmp_path / "store"),
        "KAPTION_TAKEDOWN__SETTLE_S": "0",
        "KAPTION_INGEST__FETCH__ALLOW_NETWORKS": '["127.0.0.0/8", "::1/128"]',
        "KAPTION_INGEST__FETCH__ATTEMPTS": "1",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        fast = () if "--rate" in arguments else ("--rate", "100")
        return kaption("recheck", *arguments, *fast, settings=settings)

    return run


def standing(kafka: KafkaConnection) -> set[str]:
    pairs: dict[str, bool] = {}
    with TopicReader(kafka, [CLEAN]) as reader:
        for _, record, _ in reader:
            if isinstance(record, CleanPair):
                pairs[record.pair_id] = True
            else:
                pairs.pop(getattr(record, "key", ""), None)
    return set(pairs)


def change_minds(web: OwnersWeb) -> None:
    web.answers["/header.jpg"] = Said(plain("JPEG"), headers={"X-Robots-Tag": "noai"})
    web.answers["/file.jpg"] = Said(jpeg_with((0xE1, XMP_HEAD + xmp())))
    web.answers["/gone.jpg"] = Said(b"", status=410)
    web.answers["/broken.jpg"] = Said(b"", status=500)
    web.answers["/page.jpg"] = Said(b"<html>for sale</html>")


def found(report: Path) -> dict[str, str]:
    lines = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    return {line["url"].rpartition("/")[2].removesuffix(".jpg"): line["found"] for line in lines}


def test_what_is_opted_out_by_now_is_withdrawn_and_what_is_gone_stays(
    recheck: Recheck, web: OwnersWeb, kafka: KafkaConnection, tmp_path: Path
) -> None:
    # Given a run that looked only, after some owners changed their minds
    change_minds(web)
    report = tmp_path / "report.jsonl"
    looked = recheck(str(report))
    assert looked.returncode == 0, looked.stderr
    assert found(report) == {
        "same": "allowed",
        "header": "opted_out",
        "file": "opted_out",
        "gone": "gone",
        "broken": "not_reached",
        "page": "not_reached",
    }
    assert "x_robots_tag" in looked.stdout
    assert "xmp_data_mining" in looked.stdout
    assert standing(kafka) == set(NAMES)

    # When its report is carried out
    asked = sum(web.requests.values())
    done = recheck(str(report), "--withdraw", "--yes")

    # Then no image was asked for again, and only the opted out ones are withdrawn
    assert done.returncode == 0, done.stderr
    assert sum(web.requests.values()) == asked
    assert standing(kafka) == {"same", "gone", "broken", "page"}

    # And what is gone only when that is asked for
    assert recheck(str(report), "--withdraw", "--gone", "--yes").returncode == 0
    assert standing(kafka) == {"same", "broken", "page"}


def test_a_site_that_forbids_all_is_opted_out_and_a_run_goes_on_where_it_was_interrupted(
    recheck: Recheck, web: OwnersWeb, tmp_path: Path
) -> None:
    web.answers["/robots.txt"] = Said(b"User-agent: *\nDisallow: /")
    report = tmp_path / "report.jsonl"

    assert recheck(str(report), "--most", "2").returncode == 0
    assert len(found(report)) == 2
    with report.open("a") as file:
        file.write('{"url": "http')  # a run was killed here
    assert recheck(str(report)).returncode == 0

    assert found(report) == dict.fromkeys(NAMES, "opted_out")


def test_a_host_is_asked_no_faster_than_the_rate(
    recheck: Recheck, web: OwnersWeb, tmp_path: Path
) -> None:
    done = recheck(str(tmp_path / "report.jsonl"), "--rate", "2")

    assert done.returncode == 0, done.stderr
    assert set(found(tmp_path / "report.jsonl").values()) == {"allowed"}
    # Six images have five pauses of half a second; one of them may pass before the server notes
    # the first request.
    assert web.came[-1] - web.came[0] >= 4 * 0.5


def test_without_an_address_the_command_says_that_it_asked_nobody(
    kafka: KafkaConnection, redis_url: str, tmp_path: Path
) -> None:
    servers = {"KAPTION_STORE__URL": str(tmp_path), "KAPTION_REDIS__URL": redis_url}
    settings = {**environment(kafka), **servers}
    ended = kaption("recheck", str(tmp_path / "r.jsonl"), settings=settings)
    assert ended.returncode == 0, ended.stderr
    assert "no kept image has an address, so no host was asked" in ended.stdout


def test_pairs_that_only_the_tables_have_are_asked_too(
    recheck: Recheck, web: OwnersWeb, kafka: KafkaConnection, tmp_path: Path
) -> None:
    # Given shards with two versions of a pair that pairs.clean has lost, with an older version of
    # one that it has, and with one that it withdraws
    objects = FolderStore(tmp_path / "store")
    blobs, pairs = BlobStore(objects), []
    for offset, (name, at, version) in enumerate(
        [
            ("lost", "first", 1),
            ("lost", "second", 2),
            ("same", "older", 1),
            ("gone", "withdrawn", 1),
        ]
    ):
        message = stored(blobs, 50 + offset, pair_id=name, version=version)
        image = message.record.image.model_copy(update={"url": f"{web.url}/{at}.jpg"})
        pairs.append(replace(message, record=message.record.model_copy(update={"image": image})))
        web.answers[f"/{at}.jpg"] = Said(plain("JPEG"), headers={"X-Robots-Tag": "noai"})
    write_shards(objects, tmp_path / "spool", [pairs[:1], pairs[1:]])
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    producer.send(kafka.topic_prefix + CLEAN.name, None, key=b"gone").get(30)
    producer.close()
    report = tmp_path / "report.jsonl"

    # When
    assert recheck(str(report), "--withdraw", "--yes").returncode == 0

    # Then the newest version alone is asked about, and no reader of shards gets the pair
    assert found(report) == {"second": "opted_out"} | dict.fromkeys({*NAMES} - {"gone"}, "allowed")
    assert Takedowns(objects, "dataset").covers(pairs[1].record)
    assert not Takedowns(objects, "dataset").covers(pairs[2].record)
