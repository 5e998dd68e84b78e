"""Every metric of the engine, declared once, with its unit and what to do when it moves."""

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
    "Seconds of one batch in Stage.process. Rising: look whether the device is shared or hot, or "
    "whether batches grew.",
    _STAGE,
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
BATCH_RECORDS = Histogram(
    "kaption_batch_records",
    "Records in one batch. Far below the configured size while there is lag: preparation is too "
    "slow, so raise runtime.prepare_threads.",
    _STAGE,
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096, 16384),
)
BATCH_LIMIT = Gauge(
    "kaption_batch_limit_records",
    "Records in the largest batch that fits the device's memory, found by halving; 0 if no batch "
    "was halved. Above 0: configure that size, because each start spends time on halving again.",
    _STAGE,
)
LAG = Gauge(
    "kaption_lag_records",
    "Records between this worker's position and the end of its partitions. Rising for minutes: "
    "add replicas, up to the number of partitions.",
    _STAGE,
)
OLDEST_AGE = Gauge(
    "kaption_oldest_record_age_seconds",
    "Seconds since the time in the oldest message of a partition that has no committed outcome; 0 "
    "where none waits. Where the broker gives none it is asked for the time, and if it does not "
    "tell, it is the time for which the worker saw messages wait. Near the topic's retention: the "
    "broker will delete records unread, so add workers or raise retention.ms. Rising by a second a "
    "second: the partition stands.",
    ("stage", "topic", "partition"),
)
MESSAGES = Counter(
    "kaption_messages_total",
    "Records that were emitted, by topic. Not moving while the stage works: nothing "
    "goes this way, so the next stage may have no worker.",
    ("stage", "topic"),
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
    "device: raise that setting, and the workers' memory with it.",
    _STAGE,
)
TRANSACTIONS = Counter(
    "kaption_transactions_total",
    "Transactions by result: committed, aborted, unknown. A rebalance aborts some. Many aborted "
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
    "Producers replaced because a transaction's outcome was unknown. Moving while no broker "
    "failed: raise runtime.transaction_deadline_s.",
    _STAGE,
)
REBALANCES = Counter(
    "kaption_partition_changes_total",
    "Partitions assigned or lost. They move when replicas come and go. Moving all the time: "
    "workers are silent for longer than runtime.session_timeout_s.",
    _STAGE,
)
RETRIES = Counter(
    "kaption_retries_total",
    "Waits because a server was down or busy. Moving: bring back the server that the log names.",
    _STAGE,
)
NOT_UNDERSTOOD = Counter(
    "kaption_fields_not_understood_total",
    "Records of pairs.raw with a value that did not fit its field and went to extra, by field. "
    "Rising: look how the source writes this field.",
    ("field",),
)


def begin(stage: str) -> None:
    """Export these counters at 0.

    Alerts watch for their first increase, and Prometheus sees none if a counter begins at 1.
    """
    for metric in (REBUILDS, REBALANCES, RETRIES):
        metric.labels(stage)
    for why in ("unexpected", "declared"):
        OUTCOMES.labels(stage, "dead", why)
