"""What one server knows of pairs.audit and pairs.audited."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping

from kaption.schemas import AuditState, CleanPair, encode
from kaption.schemas.pair import decision_key
from kaption.workers.stages.select.sample import draw

_STANDING = f"state <> '{AuditState.SAMPLED.value}'"
_SCHEMA = """
CREATE TABLE sample (
    number INTEGER PRIMARY KEY, pair_id TEXT UNIQUE, record BLOB, wanted INT, made INT
);
CREATE INDEX waiting ON sample (number) WHERE made < wanted;
CREATE TABLE decision (
    key TEXT PRIMARY KEY, pair_id TEXT, by TEXT, at TEXT, state TEXT, version INT, record BLOB
);
CREATE INDEX of_pair ON decision (pair_id);
CREATE INDEX of_person ON decision (by, at);
"""
_MADE = f"(SELECT count(*) FROM decision WHERE pair_id = :pair_id AND {_STANDING})"
_OPEN = f"""
FROM sample WHERE made < wanted AND NOT EXISTS (
    SELECT 1 FROM decision
    WHERE decision.pair_id = sample.pair_id AND decision.by = :by AND {_STANDING}
)
"""
PAGE = 64
"""Pairs that `open` gives at once."""


class AuditIndex:
    """The sample and the newest decision of each person and pair, in a temporary database.

    SQLite keeps it in memory and moves what is too much to a file that nobody else sees. Nothing is
    lost with it: a server reads both topics at its start. The alternative, the queue in Redis,
    would be a second truth beside the topics.
    """

    def __init__(self, double_fraction: float) -> None:
        """`double_fraction` is the share of pairs that two people judge."""
        self._double = double_fraction
        self._rows = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._rows.executescript(_SCHEMA)

    def add_sample(self, pair: CleanPair) -> None:
        """Take over a pair of pairs.audit. A later sample of the same pair replaces it."""
        wanted = 2 if draw(pair.pair_id, "two people") < self._double else 1
        self._rows.execute(
            f"INSERT INTO sample VALUES (NULL, :pair_id, :record, :wanted, {_MADE}) "
            "ON CONFLICT (pair_id) DO UPDATE SET record = excluded.record",
            {"pair_id": pair.pair_id, "record": encode(pair), "wanted": wanted},
        )

    def add_decision(self, pair: CleanPair) -> None:
        """Take over a decision of pairs.audited. Twice is the same as once."""
        audit = pair.audit
        named = (decision_key(pair), pair.pair_id, audit.by, audit.at and audit.at.isoformat())
        row = (*named, audit.state.value, pair.version, encode(pair))
        self._rows.execute("INSERT OR REPLACE INTO decision VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        self._count(pair.pair_id)

    def forget(self, key: str) -> None:
        """Take over a tombstone of pairs.audited: a takedown withdraws the decision."""
        self._rows.execute("DELETE FROM decision WHERE key = ?", (key,))
        self._count(key.partition(" ")[2])

    def open(self, by: str, pair_id: str | None = None) -> Iterator[list[CleanPair]]:
        """The pairs that wait for a decision that this person may make, by pages, oldest first.

        The pair with this id goes before all, where it is among them.
        """
        first = {"by": by, "pair_id": pair_id}
        if found := self._all(f"SELECT record {_OPEN} AND pair_id = :pair_id", first):
            yield found
        query = f"SELECT number {_OPEN} AND number > :after ORDER BY number LIMIT {PAGE}"
        after = 0
        while numbers := self._rows.execute(query, {"by": by, "after": after}).fetchall():
            here = {"first": after + 1, "last": numbers[-1][0], "by": by}
            yield self._all(f"SELECT record {_OPEN} AND number BETWEEN :first AND :last", here)
            after = numbers[-1][0]

    def waiting(self, by: str) -> int:
        """How many pairs wait for a decision that this person may make."""
        return int(self._rows.execute(f"SELECT count(*) {_OPEN}", {"by": by}).fetchone()[0])

    def wants_more(self, pair_id: str) -> bool:
        """Whether the pair waits for a decision, whoever makes it."""
        query = "SELECT 1 FROM sample WHERE pair_id = ? AND made < wanted"
        return self._rows.execute(query, (pair_id,)).fetchone() is not None

    def sample(self, pair_id: str) -> CleanPair | None:
        """The pair as it was sampled last."""
        return self._one("SELECT record FROM sample WHERE pair_id = ?", pair_id)

    def decision(self, pair_id: str, by: str) -> CleanPair | None:
        """The person's newest decision about the pair; its state is `sampled` after an undo."""
        query = "SELECT record FROM decision WHERE pair_id = ? AND by = ?"
        return self._one(query, pair_id, by)

    def last(self, by: str) -> CleanPair | None:
        """The person's newest decision that stands."""
        query = f"SELECT record FROM decision WHERE by = ? AND {_STANDING} ORDER BY at DESC"
        return self._one(query, by)

    def standing(self, pair_id: str) -> list[CleanPair]:
        """All decisions about the pair that stand."""
        query = f"SELECT record FROM decision WHERE pair_id = :pair_id AND {_STANDING}"
        return self._all(query, {"pair_id": pair_id})

    def version(self, pair_id: str) -> int:
        """The highest version of the pair in either topic."""
        sample = self.sample(pair_id)
        query = "SELECT max(version) FROM decision WHERE pair_id = ?"
        decided = self._rows.execute(query, (pair_id,)).fetchone()[0]
        return max(sample.version if sample else 1, decided or 1)

    def made_since(self, by: str, at: str) -> list[str]:
        """When the person made the decisions that stand and are not older than `at`."""
        query = f"SELECT at FROM decision WHERE by = ? AND at >= ? AND {_STANDING} ORDER BY at"
        return [found for (found,) in self._rows.execute(query, (by, at)).fetchall()]

    def close(self) -> None:
        """Delete the database."""
        self._rows.close()

    def _count(self, pair_id: str) -> None:
        query = f"UPDATE sample SET made = {_MADE} WHERE pair_id = :pair_id"
        self._rows.execute(query, {"pair_id": pair_id})

    def _all(self, query: str, values: Mapping[str, object]) -> list[CleanPair]:
        found = self._rows.execute(query, values).fetchall()
        return [CleanPair.model_validate_json(record) for (record,) in found]

    def _one(self, query: str, *values: str) -> CleanPair | None:
        found = self._rows.execute(f"{query} LIMIT 1", values).fetchone()
        return CleanPair.model_validate_json(found[0]) if found else None
