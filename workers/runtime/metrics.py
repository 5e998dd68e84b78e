"""Every metric of the engine, declared once: its unit, and what to do when it moves."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_STAGE = ("stage",)

OUTCOMES = Counter(
    "kaption_outcomes_total",
    "Records with a committed outcome (emitted, rejected, dead), by reason. Many dead: read the "
    "newest errors in pairs.dead. A reason that grows: look at the source of the pairs.",
    ("stage", "outcome", "reason"),
)
BATCH_SECONDS = Histogram(
    "kaption_batch_seconds",
    "Seconds of one batch in process(). Rising: the device is shared or hot, or batches grew.",
    _STAGE,
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
BATCH_RECORDS = Histogram(
    "kaption_batch_records",
    "Records in one batch. Far under the configured size with lag: preparation is too slow, give "
    "it more threads.",
    _STAGE,
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096, 16384),
)
BATCH_LIMIT = Gauge(
    "kaption_batch_limit_records",
    "Records in the largest batch that fits the device's memory, found by halving; 0: never "
    "halved. Above 0: configure that size, halving again at each start costs time.",
    _STAGE,
)
LAG = Gauge(
    "kaption_lag_records",
    "Records between this worker's position and the end of its partitions. Rising for minutes: "
    "add replicas, up to the number of partitions.",
    _STAGE,
)
HELD_RECORDS = Gauge(
    "kaption_held_records",
    "Records read and not committed yet. At its limit with an idle device: raise "
    "runtime.prepare_threads.",
    _STAGE,
)
HELD_BYTES = Gauge(
    "kaption_held_bytes",
    "Bytes of the messages read and not committed yet. At runtime.prefetch_bytes with an idle "
    "device: raise that, and the workers' memory with it.",
    _STAGE,
)
TRANSACTIONS = Counter(
    "kaption_transactions_total",
    "Transactions by result: committed, aborted, unknown. Aborted ones come with rebalances; many "
    "without a rebalance, or any unknown: look at the brokers.",
    ("stage", "result"),
)
TRANSACTION_SECONDS = Histogram(
    "kaption_transaction_seconds",
    "Seconds from begin to end of a transaction. Near the deadline: the brokers are too slow.",
    _STAGE,
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20),
)
REBUILDS = Counter(
    "kaption_session_rebuilds_total",
    "Producers replaced because a transaction's outcome was unknown. Moving without a failure of "
    "a broker: raise the transaction deadline.",
    _STAGE,
)
REBALANCES = Counter(
    "kaption_partition_changes_total",
    "Partitions assigned or lost. Moves when replicas come and go; moving all the time: workers "
    "miss the poll interval or the session timeout.",
    _STAGE,
)
RETRIES = Counter(
    "kaption_retries_total",
    "Waits because something outside was down. Moving: bring back what the log names.",
    _STAGE,
)


def begin(stage: str) -> None:
    """Export at 0 what alerts watch for the first increase of: from nothing to 1 is none."""
    for metric in (REBUILDS, REBALANCES, RETRIES):
        metric.labels(stage)
