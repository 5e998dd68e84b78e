"""Puts a batch through `Stage.process` until every entry has its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kaption.connections.errors import Fatal
from kaption.workers.runtime.backoff import Backoff, Stopped
from kaption.workers.runtime.entry import Entry, current
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.stage import Outcome, OutOfMemory, Stage


class Bisection:
    """Halves a batch that fails until the failing record is alone; that one becomes Dead.

    Whether such a record is bad or the stage is broken is decided by the stage's probe.

    A batch that runs out of memory is halved too. `limit` remembers the size that fits, because a
    later batch of the old size would fail again.
    """

    def __init__(self, stage: Stage[Any, Any], policy: RuntimePolicy, backoff: Backoff) -> None:
        self._stage = stage
        self._policy = policy
        self._backoff = backoff
        self._probed = type(stage).probe is not Stage.probe
        self.limit: int | None = None
        """The most records per call that fit the device; None: no batch was too large yet."""

    def run(self, entries: Sequence[Entry]) -> None:
        """Give an outcome to every entry that has none. Raises Fatal or Stopped."""
        todo = [entry for entry in entries if entry.outcome is None]
        # Records that were rejected or dead in preparation say nothing about `process`.
        tried = todo + [entry for entry in entries if entry.unexpected]
        self._solve(todo)
        failed = [entry for entry in tried if entry.unexpected]
        if self._probed and failed:
            self._probe(failed[-1])
        elif len(tried) == len(failed) >= self._policy.broken_stage_records:
            raise Fatal(
                f"every record of a batch of {len(tried)} failed, so it is the stage "
                f"{self._stage.name} that is broken; the last error was: {failed[-1].outcome}"
            )

    def _probe(self, failed: Entry) -> None:
        try:
            self._backoff.call(self._stage.probe)
        except (Fatal, Stopped):
            raise
        except Exception as error:
            raise Fatal(
                f"the stage {self._stage.name} is broken: it fails with {failed.position} "
                f"({failed.outcome}) and with a good record of its own ({_told(error)})"
            ) from error

    def _solve(self, part: Sequence[Entry]) -> None:
        start = 0
        while start < len(part):
            size = min(self.limit or len(part), len(part) - start)
            piece = part[start : start + size]
            try:
                outcomes = self._call(piece)
            except (Fatal, Stopped):
                raise
            except (OutOfMemory, MemoryError) as error:
                if size > 1:
                    self.limit = size // 2
                    continue
                self._fail_alone(piece[0], error)
            except Exception as error:  # noqa: BLE001 - a stage's bug must not kill the whole batch
                for entry in piece:
                    entry.attempts += 1
                if size > 1:
                    self._solve(piece[: size // 2])
                    self._solve(piece[size // 2 :])
                else:
                    self._fail_alone(piece[0], error)
            else:
                for entry, outcome in zip(piece, outcomes, strict=True):
                    entry.outcome = outcome
            start += size

    def _fail_alone(self, entry: Entry, error: Exception) -> None:
        for _ in range(self._policy.attempts - 1):
            try:
                (entry.outcome,) = self._call([entry])
            except (Fatal, Stopped):
                raise
            except Exception as again:  # noqa: BLE001 - the dead letter names it
                entry.attempts += 1
                error = again
            else:
                return
        entry.die(_told(error), unexpected=True)
        # A probe is small: it says nothing about memory.
        entry.own_fault = self._probed and not isinstance(error, (OutOfMemory, MemoryError))

    def _call(self, piece: Sequence[Entry]) -> Sequence[Outcome]:
        batch = [(entry.message, entry.prepared) for entry in piece]
        current.entry = piece[0] if len(piece) == 1 else None
        outcomes = self._backoff.call(lambda: self._stage.process(batch))  # type: ignore[arg-type]  # an entry without outcome is decoded
        if len(outcomes) != len(piece):
            raise Fatal(
                f"{self._stage.name}.process gave {len(outcomes)} outcomes for {len(piece)} records"
            )
        return outcomes


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
