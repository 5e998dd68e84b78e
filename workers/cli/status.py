"""`kaption status`: the state of each stage, why pairs were refused, and what captioners took."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from kaption.connections.errors import Fault
from kaption.connections.kafka.topics import TopicAdmin, TopicError
from kaption.connections.settings import KafkaConnection
from kaption.consumers import Read, ReadError, Tombstone, TopicReader
from kaption.schemas import CleanPair, DeadLetter, Position, Provenance, RejectedPair
from kaption.schemas.topics import CLEAN, DEAD, REJECTED
from kaption.workers.batch.progress import span
from kaption.workers.cli.common import Config, print_table
from kaption.workers.report.events import shown
from kaption.workers.report.spent import CaptionerTotals, provenance_of
from kaption.workers.report.stage_states import StageState, StageStates
from kaption.workers.report.worker_pages import GpuState
from kaption.workers.settings import Settings, load_settings
from kaption.workers.wiring import daily_budget

_TOPICS = (CLEAN, REJECTED, DEAD)
_OUTCOMES = ("emitted", "rejected", "dead")
_EVER = datetime.min.replace(tzinfo=UTC)


def command(
    config: Config = None,
    interval: Annotated[
        float, typer.Option(min=0, max=3600, help="Seconds over which to measure rates.")
    ] = 2.0,
    recent: Annotated[
        int,
        typer.Option(
            min=0, help="Number of the newest messages to count: clean, rejected and dead."
        ),
    ] = 10_000,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until Ctrl-C: a live view, or a block each time.")
    ] = False,
    workers: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST[:PORT]",
            help="Workers to ask for outcomes, device time and waits. May be repeated; a name "
            "with several addresses stands for several. Default: this machine, health.port.",
        ),
    ] = None,
) -> None:
    """Show lag and rate of each stage, why pairs were refused, and what captioners took.

    It needs only Kafka, and Redis where recaption.daily_budget is set. A
    number after ~ is an estimate: not all of its records were seen. "in
    process" is the share of the time that workers spent on batches, and gpu
    what the driver of their GPU tells, where there is one.

    Example: kaption status --watch --workers kaption-metrics
    """
    settings = load_settings(config)
    asked = workers or [f"127.0.0.1:{settings.health.port or 8080}"]
    with StageStates(settings, recent, asked) as states:
        states.look()
        time.sleep(interval)
        if watch:
            try:
                _watch(settings.kafka, states, max(interval, 0.2), recent)
            except KeyboardInterrupt:
                raise typer.Exit(130) from None
        print_table(stage_table(states.look()))
    newest = _newest(settings.kafka, recent)
    print_table(_reasons(newest.refusals, recent))
    totals, clean = newest.captioners()
    if totals.results:
        print_table(totals.table(clean))
    if limits := settings.recaption.daily_budget.limits:
        _print_budget(settings, limits)


def stage_table(states: Sequence[StageState]) -> Table:
    """The states as a table. Columns that only workers know are there if one answered."""
    told = any(state.told for state in states)
    gpus = any(state.told and state.told.gpus for state in states)
    head = ["stage", "done", "lag", "records/s", "time left"]
    head += ["workers", "emitted", "rejected", "dead", "in process"] if told else []
    head += ["gpu"] if gpus else []
    head += ["waits for"] if told else []
    table = Table(*head, box=None)
    for column in table.columns[1:10]:
        column.justify = "right"
    for state in states:
        about = "" if state.exact else "~"
        cells = [state.stage, f"{about}{state.done}", f"{about}{state.lag}"]
        cells.append("-" if state.rate is None else f"{state.rate:.1f}")
        cells.append("-" if state.left_s is None else span(state.left_s))
        if state.told is not None:
            of = state.told
            cells += [str(of.workers), *(str(of.outcomes[it]) for it in _OUTCOMES)]
            cells.append("-" if of.busy is None else f"{of.busy:.0%}")
            if gpus:
                cells.append(", ".join(_gpu(each) for _, each in sorted(of.gpus.items())))
            cells.append(escape("; ".join(f"{shown(why)} ({n})" for why, n in of.waits.items())))
        table.add_row(*cells)
    return table


def _gpu(state: GpuState) -> str:
    use = "-" if state.use is None else f"{state.use:.0%}"
    return use if state.used_bytes is None else f"{use} {state.used_bytes / 2**30:.1f} GiB"


def _watch(kafka: KafkaConnection, states: StageStates, interval: float, recent: int) -> None:
    """Show the state every `interval` seconds, until KeyboardInterrupt."""
    console = Console(highlight=False)
    refusals: Counter[tuple[str, str]] = Counter()
    with ExitStack() as stack:
        live = None
        if console.is_terminal:
            live = stack.enter_context(Live(console=console, screen=True, auto_refresh=False))
        following = _Refusals(kafka, recent, refusals)
        stack.callback(following.close)
        while True:
            shown_now: list[RenderableType] = [f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"]
            try:
                found = states.look()
                following.catch_up()
                shown_now += [stage_table(found), "", _reasons(refusals, recent, most=12)]
                if not states.pages.answered:
                    shown_now.append("no worker answered: name them with --workers")
            except (Fault, TopicError, ReadError) as error:
                shown_now.append(Text(f"not known now: {shown(str(error))}", "yellow"))
            if live is None:
                for each in shown_now:
                    print_table(each) if isinstance(each, Table) else typer.echo(str(each))
            else:
                live.update(Group(*shown_now), refresh=True)
            time.sleep(interval)


def _reasons(refusals: Counter[tuple[str, str]], recent: int, most: int | None = None) -> Table:
    outcomes = Table("stage", "reason", f"among the newest {recent}", box=None)
    for (stage, reason), count in refusals.most_common(most):
        outcomes.add_row(escape(stage), reason, str(count))
    return outcomes


class _Refusals:
    """Counts the newest refusals, and from then on each new one."""

    def __init__(
        self, kafka: KafkaConnection, recent: int, counts: Counter[tuple[str, str]]
    ) -> None:
        self._reader = TopicReader(kafka, (REJECTED, DEAD))
        self._recent = recent
        self._counts = counts
        self._next: dict[tuple[str, int], int] = {}

    def catch_up(self) -> None:
        ends = self._reader.ends()
        share = self._recent // max(1, len(ends))
        begins = {it: max(end - share, self._next.get(it, 0), 0) for it, end in ends.items()}
        self._reader.begin_at(Position(*place, offset) for place, offset in begins.items())
        for read in filter(None, self._reader.reads(ends)):
            self._counts[_refusal(read)] += 1
        self._next = ends

    def close(self) -> None:
        self._reader.close()


@dataclass
class _Newest:
    """The newest outcomes."""

    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Refused pairs by (stage, reason)."""
    judged: list[tuple[datetime, bool, Provenance]] = field(default_factory=list)
    """Time, whether the pair is clean, and what was done to it."""
    whole: dict[bool, bool] = field(default_factory=dict)
    """Whether all clean pairs were read, and all rejected ones."""

    def captioners(self) -> tuple[CaptionerTotals, int]:
        """What captioners took, and the number of clean pairs, since a time from which both the
        clean and the rejected pairs were read."""
        firsts = [
            min((at for at, clean, _ in self.judged if clean is kind), default=_EVER)
            for kind, whole in self.whole.items()
            if not whole
        ]
        since = max(firsts, default=_EVER)
        counted = [(clean, provenance) for at, clean, provenance in self.judged if at >= since]
        totals = CaptionerTotals()
        for _, provenance in counted:
            totals.add(provenance)
        return totals, sum(clean for clean, _ in counted)


def _newest(kafka: KafkaConnection, recent: int) -> _Newest:
    """Read about the `recent` newest messages of each topic of outcomes."""
    newest, start = _Newest(), list[Position]()
    with TopicAdmin(kafka) as admin:
        for topic, state in zip(_TOPICS, admin.describe(_TOPICS), strict=True):
            share = recent // len(state.partitions)
            begins = [max(each.begin, each.end - share) for each in state.partitions]
            start += [Position(state.topic, number, at) for number, at in enumerate(begins)]
            if topic is not DEAD:
                newest.whole[topic is CLEAN] = begins == [it.begin for it in state.partitions]
    with TopicReader(kafka, _TOPICS, start=start) as reader:
        for read in reader:
            pair = read.record
            if isinstance(pair, Tombstone):  # a takedown or the audit withdrew a clean pair
                continue
            if isinstance(pair, CleanPair):
                at = max((it.finished_at for it in pair.provenance.stages), default=_EVER)
                newest.judged.append((at, True, pair.provenance))
                continue
            newest.refusals[_refusal(read)] += 1
            if isinstance(pair, RejectedPair):
                newest.judged.append((pair.rejected_at, False, provenance_of(pair.record)))
    return newest


def _refusal(read: Read) -> tuple[str, str]:
    """The stage and the reason."""
    match read.record:
        case RejectedPair(stage=stage, reason=reason):
            return stage, reason.value
        case DeadLetter(stage=stage):
            return stage, "dead"
    return "unknown", "unreadable"


def _print_budget(settings: Settings, limits: Mapping[str, float]) -> None:
    try:
        today = daily_budget(settings).today()
    except Fault as error:
        typer.echo(f"recaption.daily_budget: not known now ({error})")
        return
    budget = Table("recaption.daily_budget", "today", "limit", box=None)
    for name, limit in limits.items():
        budget.add_row(name, f"{today[name]:,.6g}", f"{limit:,.6g}")
    print_table(budget)
    if today["used_up"]:
        typer.echo("The daily budget is used up: rules alone write captions until midnight UTC.")
