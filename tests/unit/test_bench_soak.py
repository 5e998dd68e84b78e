"""Which ends of a worker the soak takes for what the product promises."""

import json
import math
from pathlib import Path

import pytest

from kaption.connections.settings import KafkaConnection
from kaption.workers.cli.common import check_kafka, toys
from kaption.workers.settings import Settings, UserError, load_settings

RAN = (100.0, 112.0)
AWAY = [(20.0, 25.0), (111.0, 130.0)]


@pytest.fixture(autouse=True)
def _bench_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))


@pytest.fixture(scope="module")
def told() -> list[str]:
    """What a worker tells that finds no broker at its start."""
    settings = Settings(kafka=KafkaConnection(bootstrap="127.0.0.1:1"))
    with pytest.raises(UserError) as error:
        check_kafka(settings)
    return [json.dumps({"event": toys(load_settings(models="demo"))}), f"kaption: {error.value}"]


def test_a_start_without_a_broker_is_no_violation(told: list[str]) -> None:
    from bench.soak_faults import ended_without_broker

    assert ended_without_broker(1, told, RAN, AWAY)
    assert ended_without_broker(1, told[1:], RAN, [(90.0, math.inf)])


def test_any_other_end_is_one(told: list[str]) -> None:
    from bench.soak_faults import ended_without_broker

    line = told[-1]
    worked = json.dumps({"event": "waiting", "why": "Redis"})
    ends = {
        "another status": (-9, told, RAN, AWAY),
        "no line": (1, [], RAN, AWAY),
        "a line of another server": (1, ["kaption: redis.url: Redis is away"], RAN, AWAY),
        "a worker that ran before": (1, [worked, line], RAN, AWAY),
        "a line that is not the last": (1, [line, "Traceback"], RAN, AWAY),
        "a broker that was there": (1, told, RAN, [(20.0, 99.0), (113.0, math.inf)]),
    }
    assert {why for why, end in ends.items() if ended_without_broker(*end)} == set()
