"""`kaption size`: what a crawl of some pairs needs, from the measured costs of one pair."""

from __future__ import annotations

import math
import tomllib
from enum import StrEnum
from importlib.resources import files
from typing import Annotated

import typer

from kaption.workers.settings import UserError

_SHARES = ("kept_share", "recaptioned_share", "busy")
_PRICED = {
    "core_hour": "core hours",
    "gpu_hour": "GPU hours",
    "redis_gb_month": "GB of Redis",
    "kafka_gb_month": "GB of Kafka",
    "store_gb_month": "GB of store",
    "put_1000": "1,000 writes",
    "get_1000": "1,000 reads",
}


class _Captioner(StrEnum):
    rules = "rules"
    transformers = "transformers"
    openai = "openai"


def command(
    pairs: Annotated[float, typer.Option(help="Pairs of the crawl, for example 1e9.", min=1)],
    captioner: Annotated[_Captioner, typer.Option(help="rules needs no GPU.")] = (
        _Captioner.transformers
    ),
    days: Annotated[float, typer.Option(help="Days in which they come.", min=0.01)] = 30,
    cost: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A cost of your own. May be repeated."),
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help=f"A price, of: {', '.join(_PRICED)}. May be repeated."
        ),
    ] = None,
) -> None:
    """Print partitions, replicas, GPUs, servers, requests, bytes and money.

    Below the table stand the costs of one pair, each with the benchmark that
    measured it or the assumption. A month is 30 days; a price that is not given
    counts as zero.

    Example: kaption size --pairs 1e9 --captioner transformers --price gpu_hour=1.2
    """
    if not (pairs < math.inf and days < math.inf):
        raise UserError(f"--pairs {pairs} --days {days}: give finite numbers")
    table = tomllib.loads((files(__package__) / "costs.toml").read_text())
    costs = {name: float(row["value"]) for name, row in table.items()}
    own = _given(cost, costs, "--cost")
    prices = _given(price, _PRICED, "--price")
    lines, used = _sizes(pairs, captioner, days, costs | own)
    for name, value in lines:
        typer.echo(f"{name:<34}{value:>16,.{1 if 0 < value < 10 and value % 1 else 0}f}")
    for name, amount in used.items():
        if name in prices:
            typer.echo(f"{'money, ' + _PRICED[name]:<34}{amount * prices[name]:>16,.2f}")
    if prices:
        total = sum(amount * prices.get(name, 0) for name, amount in used.items())
        typer.echo(f"{'money, of the prices given':<34}{total:>16,.2f}")
    typer.echo("")
    for name, row in table.items():
        source = "given" if name in own else row["from"]
        typer.echo(f"{name} = {own.get(name, row['value']):g}  ({source})")


def _sizes(
    pairs: float, captioner: _Captioner, days: float, costs: dict[str, float]
) -> tuple[list[tuple[str, float]], dict[str, float]]:
    """The rows of the table, and the amounts that have a price."""
    each_second = pairs / days / 86_400
    kept = pairs * costs["kept_share"]
    share = costs["kept_share"]
    recaptioned = costs["recaptioned_share"] * share
    ingest_cores = each_second * costs["ingest_cpu_ms"] / 1e3 / costs["busy"]
    engine_ms = costs["engine_cpu_ms"] * (1 + 4 * share)
    cores = ingest_cores + each_second * engine_ms / 1e3 / costs["busy"]
    gpus = [
        math.ceil(each_second * rate / costs[speed] / costs["busy"])
        for rate, speed in (
            (share, "scores_per_s"),
            (0 if captioner == _Captioner.rules else recaptioned, "captions_per_s"),
            (share, "scores_per_s"),
        )
    ]
    ingest = math.ceil(ingest_cores / costs["cores_per_replica"])
    # A power of two with room to double: a partition has one replica of a stage at a time.
    partitions = 1 << max(0, math.ceil(math.log2(max(ingest, *gpus))) + 1)
    redis_gb = kept * costs["redis_bytes"] / 1e9
    # A pair lies in pairs.raw, and a kept one in each of the four topics behind it.
    flowing = pairs * (1 + 4 * share) * costs["record_bytes"] / 1e9
    held_gb = flowing * min(1, costs["retention_days"] / days) * costs["kafka_copies"]
    # An image lies below its sha256 and in its shard. A shard is three objects and a manifest.
    stored_gb = 2 * kept * costs["image_bytes"] / 1e9
    puts = kept + 4 * kept / costs["shard_records"]
    gets = kept * (2 + costs["recaptioned_share"])  # score, sink and recaption
    months = days / 30
    rows: list[tuple[str, float]] = [
        ("pairs a second", each_second),
        ("partitions of each topic", partitions),
        ("ingest replicas", ingest),
        ("cores, all stages", math.ceil(cores)),
        ("GPUs for score", gpus[0]),
        ("GPUs for recaption", gpus[1]),
        ("GPUs for select", gpus[2]),
        ("GB of claims in Redis", redis_gb),
        ("Redis servers", max(1, math.ceil(redis_gb / costs["redis_server_gb"]))),
        ("GB through Kafka", flowing),
        ("GB held by Kafka, all copies", held_gb),
        ("GB in the object store", stored_gb),
        ("writes to the object store", puts),
        ("reads of the object store", gets),
    ]
    hours = 24 * days
    used = (cores * hours, sum(gpus) * hours, redis_gb * months, held_gb * months)
    spent = (*used, stored_gb * months, puts / 1e3, gets / 1e3)
    return rows, dict(zip(_PRICED, spent, strict=True))


def _given(
    given: list[str] | None, known: dict[str, float] | dict[str, str], option: str
) -> dict[str, float]:
    found = {}
    for each in given or ():
        name, _, text = each.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if name not in known or not (0 <= value < math.inf):
            raise UserError(
                f"{option} {each}: give NAME=VALUE with a number; names: {', '.join(known)}"
            )
        most = 1 if name in _SHARES else math.inf
        if option == "--cost" and not 0 < value <= most:
            limit = " and at most 1" if name in _SHARES else ""
            raise UserError(f"{option} {each}: give a number above 0{limit}")
        found[name] = value
    return found
