"""Redelivery of a record whose URL has changed its answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from kaption.schemas import Position, RawPair, Reason
from kaption.workers.demo.site import Page, Site
from kaption.workers.runtime.stage import Emit, Incoming, Outcome, Reject
from kaption.workers.stages.ingest.stage import IngestInput, IngestStage
from kaption.workers.stores.owners import Owners
from support.ingest_bench import Bench, emitted, image_bytes, linked, raw, reasons

EARLIER, FIRST, OTHER = 50, 51, 52
"""Seeds of three images: of another origin, of the URL's first answer, of its later answer."""
CHANGES = {"gone": None, "another image": OTHER, "a copy of an earlier one": EARLIER}


class Crash(BaseException):
    """Stands for the death of the worker."""


@dataclass
class Dying:
    """A part of the stage. The worker dies after `method` has done its work."""

    part: Any
    method: str

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.part, name)
        if name != self.method:
            return real

        def die(*args: Any) -> None:
            real(*args)
            raise Crash

        return die


class Pages(dict[str, Page]):
    """Pages that count the requests for images."""

    asked = 0

    def get(self, path: str, default: Any = None) -> Any:
        self.asked += path.startswith("/a.png")
        return super().get(path, default)


class Web:
    """A URL whose answer the test changes."""

    def __init__(self) -> None:
        self.pages = Pages()
        self.site = Site(self.pages)
        self.url = f"{self.site.url}/a.png"

    def show(self, seed: int | None) -> None:
        """Answer with the image of this seed, or with 404."""
        self.pages.clear()
        if seed is not None:
            self.pages["/a.png"] = Page(image_bytes(seed), "image/png")


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web()
    with made.site:
        made.show(FIRST)
        yield made


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def told(outcome: Outcome) -> dict[str, Any]:
    """The emitted pair without its provenance, which holds times."""
    return emitted(outcome).model_dump(exclude={"provenance"})


def prepared(
    stage: IngestStage, message: Incoming[RawPair]
) -> list[tuple[Incoming[RawPair], IngestInput]] | Reject:
    try:
        return [(message, stage.prepare(message))]
    except Reject as reject:
        return reject


def exact_owners(client: redis.Redis) -> set[Position]:
    owners = Owners(client, "{kaption:}topics")
    return {
        owners.unpacked(cast("bytes", owner))
        for bucket in client.scan_iter(match="*exact:*", _type="hash")
        for owner in client.hvals(bucket)
    }


@pytest.mark.parametrize("seed", CHANGES.values(), ids=CHANGES)
def test_a_redelivered_record_gives_the_same_pair_although_its_url_changed(
    bench: Bench, web: Web, seed: int | None
) -> None:
    # Given a claimed image whose worker died before the commit
    bench.run(raw(image_bytes(EARLIER), 0))
    (lost,) = bench.run(linked(web.url, 1))

    # When its record is delivered again after the URL has changed
    web.show(seed)
    (again,) = bench.run(linked(web.url, 1))

    # Then the same pair comes out, and its image is stored
    assert told(again) == told(lost)
    assert bench.blobs.get(emitted(again).image.blob)


def test_a_remembered_url_is_not_fetched_again(bench: Bench, web: Web) -> None:
    gone = linked(f"{web.url}?gone", 2)
    bench.run(linked(web.url, 1), gone)
    assert web.pages.asked == 2

    bench.run(linked(web.url, 1), gone)

    assert web.pages.asked == 2


def test_a_copy_between_two_deliveries_is_a_duplicate_of_a_pair_that_comes_out(
    bench: Bench, web: Web
) -> None:
    bench.run(linked(web.url, 1))
    copies = bench.run(raw(image_bytes(FIRST), 2), raw(image_bytes(FIRST, crop=0.01), 3))
    web.show(None)

    (owner,) = bench.run(linked(web.url, 1))

    assert reasons(copies) == [Reason.DUPLICATE, Reason.NEAR_DUPLICATE]
    assert all(str(copy).endswith(f"of {emitted(owner).dedup.owner}") for copy in copies)


@pytest.mark.parametrize("seed", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize(
    ("part", "method"),
    [
        ("blobs", "put"),
        ("answers", "first"),
        ("dedup", "claim_exact"),
        ("dedup", "claim_near"),
        ("dedup", "count_text"),
    ],
)
def test_after_a_crash_at_any_step_every_owner_of_a_claim_comes_out(
    bench: Bench, web: Web, client: redis.Redis, part: str, method: str, seed: int | None
) -> None:
    # Given a worker that died after one step of its batch
    outcomes: list[Outcome] = bench.run(raw(image_bytes(EARLIER), 0))
    dying: Any = Dying(getattr(bench, part), method)
    with pytest.raises(Crash):
        replace(bench, **{part: dying}).run(linked(web.url, 1))

    # When the URL changes, a copy of the first image arrives, and the record is delivered again
    web.show(seed)
    outcomes += bench.run(raw(image_bytes(FIRST), 2))
    outcomes += bench.run(linked(web.url, 1))

    # Then every owner of a claim has come out, and the first image has come out once
    pairs = [emitted(one) for one in outcomes if isinstance(one, Emit)]
    assert exact_owners(client) == {Position.parse(pair.dedup.owner) for pair in pairs}
    first = hashlib.sha256(image_bytes(FIRST)).hexdigest()
    assert [pair.image.original_sha256 for pair in pairs].count(first) == 1


@pytest.mark.parametrize("seed", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("order", [(0, 1), (1, 0), None], ids=["first", "second", "together"])
def test_two_workers_with_the_same_record_get_the_same_outcome(
    bench: Bench, web: Web, client: redis.Redis, seed: int | None, order: tuple[int, int] | None
) -> None:
    # Given two workers that hold one record while its URL changes
    bench.run(raw(image_bytes(EARLIER), 0))
    stages = [bench.stage(), bench.stage()]
    inputs = [prepared(stages[0], linked(web.url, 1))]
    web.show(seed)
    inputs.append(prepared(stages[1], linked(web.url, 1)))

    # When both process it, in any order
    def outcome(at: int) -> Outcome:
        batch = inputs[at]
        return batch if isinstance(batch, Reject) else stages[at].process(batch)[0]

    with ThreadPoolExecutor(2 if order is None else 1) as pool:
        one, other = pool.map(outcome, order or (0, 1))

    # Then either may commit: both have the same outcome, and a rejected record holds no claim
    if isinstance(one, Emit):
        assert told(one) == told(other)
    else:
        assert str(one) == str(other)
    offsets = {owner.offset for owner in exact_owners(client)}
    assert offsets == ({0, 1} if isinstance(one, Emit) else {0})


def test_a_replay_of_a_rejected_record_fetches_its_url_again(bench: Bench, web: Web) -> None:
    # Given a record that was rejected because its image was missing
    message = linked(web.url, 1)
    web.show(None)
    refused = bench.run(message)

    # When the image is back, and the record is first redelivered and then replayed
    web.show(FIRST)
    redelivered = bench.run(message)
    replayed = bench.run(replace(message, position=Position("pairs.raw", 0, 9)))

    # Then only the replay fetches the image
    assert reasons(refused + redelivered) == [Reason.FETCH_STATUS] * 2
    assert emitted(replayed[0]).dedup.owner == str(message.origin)


def test_the_image_of_an_exact_duplicate_is_neither_stored_nor_remembered(
    bench: Bench, web: Web, client: redis.Redis, tmp_path: Path
) -> None:
    # Given a claimed image
    bench.run(raw(image_bytes(FIRST), 0))
    files = sorted(tmp_path.rglob("*"))
    keys = {key: client.dump(key) for key in client.scan_iter()}

    # When two copies of it arrive
    outcomes = bench.run(raw(image_bytes(FIRST), 1), linked(web.url, 2))

    # Then only two things are new: the copies' text, and the refusal of the fetched copy, for
    # workers that fetched another image
    assert reasons(outcomes) == [Reason.DUPLICATE] * 2
    assert sorted(tmp_path.rglob("*")) == files
    mark = f"kaption:url:{linked(web.url, 2).origin}".encode()
    after = {key: client.dump(key) for key in client.scan_iter()}
    texts = f"kaption:copies:{linked(web.url, 0).origin}".encode()
    assert after.keys() - keys.keys() == {mark, texts}
    assert {key: after[key] for key in keys} == keys
    assert 0 < client.ttl(mark) <= 3600


def test_inline_bytes_are_not_remembered(bench: Bench, client: redis.Redis) -> None:
    bench.run(raw(image_bytes(FIRST), 0))

    assert list(client.scan_iter(match="*url:*")) == []


def of_topic(message: Incoming[RawPair], topic_id: str | None) -> Incoming[RawPair]:
    place = replace(message.position, topic_id=topic_id)
    return replace(message, origin=place, position=place)


def test_a_record_at_the_same_place_of_another_topic_is_another_record(
    bench: Bench, web: Web
) -> None:
    # Given a record whose URL was answered, in a topic that is then created again
    first, again = (of_topic(linked(web.url, 0), letter * 22) for letter in "ab")
    (outcome,) = bench.run(first)
    # When the record at its place has the same image, then it is a duplicate of the first
    assert reasons(bench.run(of_topic(raw(image_bytes(FIRST), 0), "b" * 22))) == [Reason.DUPLICATE]
    # When its URL shows another image, then it gets that one
    web.show(OTHER)
    (other,) = bench.run(again)
    assert told(other)["image"]["original_sha256"] != told(outcome)["image"]["original_sha256"]
    # And the first record still gets its own
    assert told(bench.run(first)[0]) == told(outcome)


@pytest.mark.parametrize("source", ["url", "inline"])
def test_a_claim_of_an_older_version_belongs_to_the_record_at_its_place(
    bench: Bench, web: Web, source: str
) -> None:
    # Given claims whose owner names no topic id
    message = linked(web.url, 0) if source == "url" else raw(image_bytes(FIRST), 0)
    bench.run(message)
    # When the record is delivered again, and its topic's id is known by now
    (outcome,) = bench.run(of_topic(message, "a" * 22))
    # Then it is no duplicate of itself; a record at another place is one
    assert emitted(outcome).dedup.owner == f"pairs.raw/0/0/{'a' * 22}"
    other = of_topic(raw(image_bytes(FIRST), 1), "a" * 22)
    assert reasons(bench.run(other)) == [Reason.DUPLICATE]
