"""Ingest's probe tells records that always fail from a stage that is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaption.connections.errors import Fatal, Retry
from kaption.connections.settings import RedisConnection
from kaption.schemas import ImageSource
from kaption.testing.records import raw_pair
from kaption.workers.decode.pool import DecodePool
from kaption.workers.policy.ingest import IngestPolicy
from kaption.workers.runtime.stage import Dead
from kaption.workers.stores.client import connect_redis
from support.entries import bisection, prepared_entry
from support.ingest_bench import Bench, image_bytes

IMAGES = [
    {},
    {"formats": ("AVIF",)},
    {"formats": ("GIF", "PNG"), "min_side": 600},
    {"longest_side": 32, "min_side": 1},
]


@pytest.mark.parametrize("rules", IMAGES)
@pytest.mark.parametrize("languages", [(), ("de",), ("ja",)])
def test_the_probe_works_under_any_rules_and_leaves_nothing_behind(
    bench: Bench, redis_url: str, tmp_path: Path, rules: dict[str, object], languages: list[str]
) -> None:
    image = IngestPolicy().image.model_copy(update=rules)
    text = bench.policy.text.model_copy(update={"languages": languages})
    policy = bench.policy.model_copy(update={"image": image, "text": text})
    client = connect_redis(RedisConnection.model_validate({"url": redis_url}))
    with DecodePool(image, 1) as bench.decoder:
        stage = bench.stage(policy=policy)
        for _ in range(2):
            stage.probe()

    left = [key for key in client.scan_iter() if b"takedowns" not in key]
    lists = (b"near3:sequence", b"near3:recent", b"topics")
    assert [key for key in left if not key.endswith(lists)] == []
    assert not list(tmp_path.rglob("blobs/*"))


@pytest.mark.parametrize(
    ("store", "call", "broken"),
    [
        ("dedup", "claim_exact", False),
        ("dedup", "claim_exact", True),
        ("dedup", "claim_near", False),
        ("dedup", "claim_near", True),
        ("dedup", "count_text", False),
        ("dedup", "count_text", True),
        ("answers", "first", True),
    ],
)
def test_records_that_always_fail_are_dead_letters_and_a_broken_store_ends_the_worker(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, store: str, call: str, broken: bool
) -> None:
    # Given a batch of which every record fails
    stage = bench.stage()
    entries = [
        prepared_entry(stage, n, raw_pair(n, image=ImageSource(inline=image_bytes(n))))
        for n in range(5)
    ]
    part = getattr(bench, store)
    good = getattr(part, call)

    def fails(first: list[object], owners: list[object], *rest: object) -> object:
        if broken or any("pairs.raw" in str(each) for each in (*first, *owners)):
            raise ValueError("a bug")
        return good(first, owners, *rest)

    monkeypatch.setattr(part, call, fails)
    if broken:  # the probe fails too
        with pytest.raises(Fatal, match=r"stage ingest is broken.*a bug"):
            bisection(stage).run(entries)
    else:
        bisection(stage).run(entries)
        assert [item.own_fault for item in entries if isinstance(item.outcome, Dead)] == [True] * 5


def test_the_probe_waits_for_redis(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> object:
        raise Retry("Redis: connection refused")

    monkeypatch.setattr(bench.dedup, "claim_exact", away)
    with pytest.raises(Retry):
        bench.stage().probe()
