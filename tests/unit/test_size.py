"""`kaption size` multiplies the costs of one pair."""

from __future__ import annotations

import pytest

from kaption.workers.cli.size import command
from kaption.workers.settings import UserError


def rows(capsys: pytest.CaptureFixture[str], pairs: float, **options: object) -> dict[str, float]:
    command(pairs, **options)  # type: ignore[arg-type]  # a captioner by its name
    table, _, _ = capsys.readouterr().out.partition("\n\n")
    return {line[:34].strip(): float(line[34:].replace(",", "")) for line in table.splitlines()}


def test_what_is_stored_grows_with_the_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    small, large = rows(capsys, 1e8), rows(capsys, 1e10)

    for name in ("GB of claims in Redis", "GB through Kafka", "writes to the object store"):
        # Figures are printed without digits behind the point
        assert large[name] == pytest.approx(100 * small[name], abs=50)
    assert large["Redis servers"] > small["Redis servers"] >= 1
    assert large["partitions of each topic"] >= large["GPUs for recaption"]


def test_rules_take_no_gpu_for_captions(capsys: pytest.CaptureFixture[str]) -> None:
    assert rows(capsys, 1e8, captioner="rules")["GPUs for recaption"] == 0


def test_slower_captioners_need_more_gpus(capsys: pytest.CaptureFixture[str]) -> None:
    fast = rows(capsys, 1e9, cost=["captions_per_s=20"])["GPUs for recaption"]
    slow = rows(capsys, 1e9, cost=["captions_per_s=2"])["GPUs for recaption"]

    assert slow == pytest.approx(10 * fast, rel=0.1)


def test_money_is_the_amount_at_the_given_price(capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(capsys, 1e9, price=["put_1000=0.005"])

    expected = found["writes to the object store"] / 1000 * 0.005
    assert found["money, of the prices given"] == pytest.approx(expected, abs=0.01)


def test_every_cost_names_where_it_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    command(1e6)

    _, _, costs = capsys.readouterr().out.partition("\n\n")
    assert all(
        "bench." in line or "assumed" in line or "sett" in line or "topics.py" in line
        for line in costs.splitlines()
    )


@pytest.mark.parametrize(
    "given",
    [
        "captions_per_s",
        "captions_per_s=x",
        "nonsense=1",
        "captions_per_s=-1",
        "captions_per_s=nan",
        "captions_per_s=0",
        "kept_share=1.5",
        "busy=2",
    ],
)
def test_a_bad_cost_is_refused_in_one_line(given: str) -> None:
    with pytest.raises(UserError) as refused:
        command(1e6, cost=[given])

    assert given in str(refused.value)
    assert "\n" not in str(refused.value)


def test_pairs_that_are_no_number_are_refused() -> None:
    for pairs in (float("nan"), float("inf")):
        with pytest.raises(UserError, match="pairs"):
            command(pairs)
