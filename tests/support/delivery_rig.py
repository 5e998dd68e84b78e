"""Delivery with a session in memory in place of Kafka."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

from kaption.workers.runtime.delivery import Delivery
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.outputs import Outputs
from kaption.workers.runtime.parts import Mailbox
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.progress import Progress, Snapshot
from kaption.workers.runtime.session import Session
from kaption.workers.runtime.stage import Emit
from support.engine import ECHO, POLICY, Toy
from support.entries import entry
from support.fake_session import (
    P0,
    P1,
    Clock,
    FakeBroker,
    FakeSession,
    Fault,
)


class Case:
    """A delivery with everything around it, and two partitions."""

    def __init__(self, policy: RuntimePolicy = POLICY, *faults: Fault) -> None:
        self.broker = FakeBroker()
        self.broker.faults.extend(faults)
        self.session = FakeSession(self.broker)
        self.session.assign(P0, P1)
        self.clock = Clock()
        self.progress = Progress("toy")
        self.held = self.progress.held
        self.outputs = Outputs(Toy(), "", lambda: datetime.now(UTC), random.Random(0))
        self.mailbox = Mailbox()
        self.delivery = Delivery(
            cast(Session, self.session),
            self.outputs,
            self.progress,
            policy,
            self.clock,
            self.mailbox.put,
        )
        self.idle = self.delivery.positions

    def batch(self, *entries: Entry) -> None:
        """Have a batch finished whose records go on."""
        for each in entries:
            assert each.message is not None
            each.outcome = each.outcome or Emit(((ECHO, each.message.record),))
            self.outputs.build(each)
        self.held.add(entries)
        self.delivery.add(entries)

    def rounds(self, number: int = 1, seconds: float = 0.0) -> None:
        """Rounds of the poll thread, each `seconds` after the one before."""
        for _ in range(number):
            self.clock.now += seconds
            self.delivery.step()
            self.mailbox.work(0.0)

    @property
    def done(self) -> Snapshot:
        return self.progress.snapshot()

    @property
    def sent_keys(self) -> Sequence[bytes]:
        return [message.key for message in self.broker.messages]


def entries(partition: int, *offsets: int) -> list[Entry]:
    return [entry(offset, partition=partition) for offset in offsets]
