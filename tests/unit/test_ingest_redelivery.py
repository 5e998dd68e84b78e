"""A record that is delivered again after its URL changed its answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import redis

from kaption.schemas import Position, RawPair, Reason
from kaption.workers.decode.pool import DecodePool
from kaption.workers.demo.site import Page, Site
from kaption.workers.policy import IngestPolicy
from kaption.workers.runtime.stage import Emit, Incoming, Outcome, Reject
from kaption.workers.stages.ingest.stage import IngestInput, IngestStage
from support.ingest_bench import Bench, emitted, image_bytes, linked, raw, reasons

EARLIER, FIRST, OTHER = 50, 51, 52
"""Seeds: an image that another origin holds, the one a URL gives first, and one it gives later."""
CHANGES = {"gone": None, "another picture": OTHER, "a copy of an earlier one": EARLIER}


class Crash(BaseException):
    """The worker dies."""


@dataclass
class Dying:
    """A collaborator whose worker dies when a method has done its work."""

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
    """Counts how often it is asked."""

    asked = 0

    def get(self, path: str, default: Any = None) -> Any:
        self.asked += 1
        return super().get(path, default)


class Web:
    """One address whose answer the test changes."""

    def __init__(self) -> None:
        self.pages = Pages()
        self.site = Site(self.pages)
        self.url = f"{self.site.url}/a.png"

    def show(self, seed: int | None) -> None:
        """None: 404."""
        self.pages.clear()
        if seed is not None:
            self.pages["/a.png"] = Page(image_bytes(seed), "image/png")


@pytest.fixture(scope="module")
def decoder() -> Iterator[DecodePool]:
    with DecodePool(IngestPolicy().image, 1) as pool:
        yield pool


@pytest.fixture
def bench(redis_url: str, tmp_path: Path, decoder: DecodePool) -> Bench:
    return Bench.opened(redis_url, tmp_path / "blobs", decoder)


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
    """What came out, but for how long it took."""
    return emitted(outcome).model_dump(exclude={"provenance"})


def prepared(
    stage: IngestStage, message: Incoming[RawPair]
) -> list[tuple[Incoming[RawPair], IngestInput]] | Reject:
    try:
        return [(message, stage.prepare(message))]
    except Reject as reject:
        return reject


def exact_owners(client: redis.Redis) -> set[Position]:
    return {
        Position.parse(owner if isinstance(owner, str) else owner.decode())
        for bucket in client.scan_iter(match="*exact:*")
        for owner in client.hvals(bucket)
    }


@pytest.mark.parametrize("seed", CHANGES.values(), ids=CHANGES)
def test_a_url_that_changed_between_claim_and_commit_gives_the_same_pair(
    bench: Bench, web: Web, seed: int | None
) -> None:
    # Given a claimed image whose worker died before the commit
    bench.run(raw(image_bytes(EARLIER), 0))
    (lost,) = bench.run(linked(web.url, 1))

    # When its record is delivered again after the URL changed
    web.show(seed)
    (again,) = bench.run(linked(web.url, 1))

    # Then the same pair comes out, and its bytes are there
    assert told(again) == told(lost)
    assert bench.blobs.get(emitted(again).image.blob)


def test_a_remembered_answer_is_not_asked_for_again(bench: Bench, web: Web) -> None:
    gone = linked(f"{web.url}?gone", 2)
    bench.run(linked(web.url, 1), gone)
    assert web.pages.asked == 2

    bench.run(linked(web.url, 1), gone)

    assert web.pages.asked == 2


def test_a_copy_that_came_in_between_is_a_duplicate_of_an_owner_that_comes_out(
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
def test_wherever_a_worker_dies_each_claim_is_held_by_one_that_comes_out(
    bench: Bench, web: Web, client: redis.Redis, part: str, method: str, seed: int | None
) -> None:
    # Given a worker that died after one step of its batch
    outcomes: list[Outcome] = bench.run(raw(image_bytes(EARLIER), 0))
    dying: Any = Dying(getattr(bench, part), method)
    with pytest.raises(Crash):
        replace(bench, **{part: dying}).run(linked(web.url, 1))

    # When the URL changes, a copy of the first image arrives, and the record comes again
    web.show(seed)
    outcomes += bench.run(raw(image_bytes(FIRST), 2))
    outcomes += bench.run(linked(web.url, 1))

    # Then who holds a claim has come out, and so has the first image, once
    pairs = [emitted(one) for one in outcomes if isinstance(one, Emit)]
    assert exact_owners(client) == {Position.parse(pair.dedup.owner) for pair in pairs}
    first = hashlib.sha256(image_bytes(FIRST)).hexdigest()
    assert [pair.image.original_sha256 for pair in pairs].count(first) == 1


@pytest.mark.parametrize("seed", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("order", [(0, 1), (1, 0), None], ids=["first", "second", "together"])
def test_two_workers_with_the_same_record_agree(
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

    # Then either may commit: both came to the same, and a rejected record holds nothing
    if isinstance(one, Emit):
        assert told(one) == told(other)
    else:
        assert str(one) == str(other)
    offsets = {owner.offset for owner in exact_owners(client)}
    assert offsets == ({0, 1} if isinstance(one, Emit) else {0})


def test_a_refused_record_that_is_replayed_asks_its_url_again(bench: Bench, web: Web) -> None:
    # Given a record refused because its image was not there
    message = linked(web.url, 1)
    web.show(None)
    refused = bench.run(message)

    # When the image is back, and the record comes again: redelivered, then replayed
    web.show(FIRST)
    redelivered = bench.run(message)
    replayed = bench.run(replace(message, position=Position("pairs.raw", 0, 9)))

    # Then only the replay is a new try
    assert reasons(refused + redelivered) == [Reason.FETCH_STATUS] * 2
    assert emitted(replayed[0]).dedup.owner == str(message.origin)


def test_of_an_exact_duplicate_no_image_is_stored_or_remembered(
    bench: Bench, web: Web, client: redis.Redis, tmp_path: Path
) -> None:
    # Given an image that is held
    bench.run(raw(image_bytes(FIRST), 0))
    files = sorted(tmp_path.rglob("*"))
    keys = {key: client.dump(key) for key in client.scan_iter()}

    # When copies of it arrive
    outcomes = bench.run(raw(image_bytes(FIRST), 1), linked(web.url, 2))

    # Then all that is new is the fetched one's refusal, for workers that fetched something else
    assert reasons(outcomes) == [Reason.DUPLICATE] * 2
    assert sorted(tmp_path.rglob("*")) == files
    mark = f"kaption:url:{linked(web.url, 2).origin}".encode()
    after = {key: client.dump(key) for key in client.scan_iter()}
    assert after.keys() - keys.keys() == {mark}
    assert {key: after[key] for key in keys} == keys
    assert 0 < client.ttl(mark) <= 3600


def test_inline_bytes_are_not_remembered(bench: Bench, client: redis.Redis) -> None:
    bench.run(raw(image_bytes(FIRST), 0))

    assert list(client.scan_iter(match="*url:*")) == []
