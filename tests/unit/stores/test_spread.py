"""Exact claims on three real servers."""

import random
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from kaption.connections.errors import Fatal, Retry
from kaption.connections.settings import RedisConnection
from kaption.workers.local import Valkey
from kaption.workers.policy.ingest import DedupPolicy
from kaption.workers.stores.client import connect_all, forget
from kaption.workers.stores.dedup import Dedup
from kaption.workers.stores.footprint import Footprint
from kaption.workers.stores.spread import homes
from support.near_race import owner

pytestmark = pytest.mark.slow

SHA256S = [each.hex() for each in map(random.Random(7).randbytes, [32] * 3000)]
OWNERS = [owner(number) for number in range(3000)]
LATER = [owner(number) for number in range(5000, 8000)]


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Valkey]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Valkey()) for _ in range(3)]


@pytest.fixture
def urls(servers: list[Valkey]) -> list[str]:
    found = [server.url for server in servers]
    forget(connection(found))
    return found


def connection(urls: list[str]) -> RedisConnection:
    return RedisConnection.model_validate({"url": urls[0], "claim_urls": urls[1:]})


def spread(urls: list[str]) -> Dedup:
    return Dedup.connected(connection(urls), DedupPolicy())


def test_claims_are_spread_evenly_and_every_worker_finds_them(urls):
    assert spread(urls).claim_exact(SHA256S, OWNERS) == OWNERS

    other = spread(urls)
    assert other.claim_exact(SHA256S, LATER) == OWNERS
    assert other.holders(SHA256S[::-1]) == OWNERS[::-1]
    held = [
        sum(map(client.hlen, client.scan_iter(match="*exact:n*")))
        for client in connect_all(connection(urls))
    ]
    assert sum(held) == 3000
    assert min(held) > 900


def test_added_servers_take_new_claims_and_old_claims_stay(urls):
    # Given claims on one server, then more on two, then more on three
    for count in (1, 2, 3):
        part = slice(0, 1000 * count)
        assert spread(urls[:count]).claim_exact(SHA256S[part], OWNERS[part]) == OWNERS[part]

    # When others claim all of them / Then each keeps its first owner, and the last server has some
    assert spread(urls).claim_exact(SHA256S, LATER) == OWNERS
    last = connect_all(connection(urls))[2]
    assert sum(map(last.hlen, last.scan_iter(match="*exact:n*"))) > 200


def test_a_worker_that_does_not_know_an_added_server_waits(urls):
    # Given a worker that knows two servers
    old = spread(urls[:2])
    assert old.claim_exact(SHA256S[:100], OWNERS[:100]) == OWNERS[:100]

    # When a worker that knows three has claimed / Then the old one claims nothing more
    new = spread(urls)
    assert new.claim_exact(SHA256S[100:], OWNERS[100:]) == OWNERS[100:]
    with pytest.raises(Retry, match="spread over 3 Redis servers, and this worker knows 2"):
        old.claim_exact(SHA256S[:200], LATER[:200])
    assert new.holders(SHA256S) == OWNERS


def test_workers_that_are_replaced_one_by_one_never_accept_an_image_twice(urls):
    # Given an old and a new worker that claim the same images in turns
    old, new, rng = spread(urls[:2]), spread(urls), random.Random(1)
    turns = [(rng.sample(range(300), 3), rng.random() < 0.3) for _ in range(400)]
    accepted, waiting = [0] * 300, []

    def claims(worker: Dedup, step: int) -> None:
        at = turns[step][0]
        by = [owner(10_000 * (step + 1) + one) for one in at]
        held = worker.claim_exact([SHA256S[one] for one in at], by)
        for one, mine, holder in zip(at, by, held, strict=True):
            accepted[one] += mine == holder

    # When the old one waits where it is told to, and the new one gets its records at the end
    for step, (_, newer) in enumerate(turns):
        try:
            claims(new if newer and step > 100 else old, step)
        except Retry:
            waiting.append(step)
    for step in waiting:
        claims(new, step)

    # Then each image was accepted once
    assert waiting
    assert {accepted[one] for at, _ in turns for one in at} == {1}


def test_a_lost_server_lets_nothing_through(urls):
    # Given claims on three servers, of which one is away
    spread(urls).claim_exact(SHA256S, OWNERS)
    lacking = spread([*urls[:2], "redis://127.0.0.1:1"])
    places = [homes(each, 3) for each in SHA256S]
    share, others = (
        [at for at in range(3000) if (2 in places[at]) is lost] for lost in (True, False)
    )

    # When copies arrive / Then its share waits, and others are refused as before
    with pytest.raises(Retry):
        lacking.claim_exact([SHA256S[at] for at in share[:10]], LATER[:10])
    copies = [SHA256S[at] for at in others[:100]]
    assert lacking.claim_exact(copies, LATER[:100]) == [OWNERS[at] for at in others[:100]]
    assert lacking.ready() is not None
    assert spread(urls).claim_exact(SHA256S, LATER) == OWNERS


def test_servers_in_another_order_are_refused(urls):
    spread(urls).claim_exact(SHA256S, OWNERS)

    with pytest.raises(Fatal, match="put the servers in their old order"):
        spread([urls[0], urls[2], urls[1]]).claim_exact(SHA256S, LATER)


def test_takedowns_find_claims_on_every_server(urls):
    dedup = spread(urls)
    dedup.claim_exact(SHA256S, OWNERS)
    gone = [
        Footprint(owner=str(by), original_sha256=sha256)
        for sha256, by in zip(SHA256S[::2], OWNERS[::2], strict=True)
    ]

    assert [dedup.forget(gone, dry_run=dry) for dry in (True, False, False)] == [1500, 1500, 0]
    assert dedup.holders(SHA256S) == [by if at % 2 else None for at, by in enumerate(OWNERS)]


@pytest.mark.parametrize(
    ("further", "told"),
    [
        (["redis://127.0.0.1:1"], "names a server twice"),
        (["rediss://127.0.0.1:2"], "or none of them"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(further, told):
    with pytest.raises(ValueError, match=told):
        connection(["redis://127.0.0.1:1", *further])
