"""What the engine does with a stage, by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from kaption.connections.errors import Retry
from kaption.objectstore.blobs import BlobStore
from kaption.schemas import ImageRef, Position
from kaption.testing.records import incoming, store_image
from kaption.workers.runtime.stage import Incoming, Outcome, Reject, Stage

AnyStage = Stage[Any, Any]


@dataclass
class StageBench:
    """A stage that is set up, with the store of its images."""

    stage: AnyStage
    blobs: BlobStore
    record: Callable[[int, ImageRef], Any]
    """Makes an input record of that number about that image."""
    offsets: Iterator[int] = field(default_factory=itertools.count)

    def messages(self, count: int) -> list[Incoming[Any]]:
        """New records with new images, each after the one before in one partition."""
        return [
            self.message(offset, store_image(self.blobs, offset))
            for offset in itertools.islice(self.offsets, count)
        ]

    def message(self, offset: int, image: ImageRef) -> Incoming[Any]:
        """A record about that image, at that offset."""
        return incoming(self.record(offset, image), offset, topic=self.stage.inputs[0].name)

    def run(self, messages: list[Incoming[Any]]) -> list[Outcome]:
        """Prepare each, process the batch; outcomes in the records' order."""
        outcomes: dict[Position, Outcome] = {}
        batch = []
        for message in messages:
            try:
                batch.append((message, self.stage.prepare(message)))
            except Reject as reject:
                outcomes[message.position] = reject
        done = self.stage.process(batch) if batch else ()
        for (message, _), outcome in zip(batch, done, strict=True):
            outcomes[message.position] = outcome
        return [outcomes[message.position] for message in messages]

    def attempt(
        self, new: list[Incoming[Any]], prepared: list[tuple[Incoming[Any], Any]]
    ) -> tuple[list[Outcome], list[str]]:
        """Run records before preparation and after; their outcomes, and what has to wait."""
        outcomes: list[Outcome] = []
        retries: list[str] = []
        calls: tuple[Callable[[], Sequence[Outcome]], ...] = (
            lambda: self.run(new),
            lambda: self.stage.process(prepared),
        )
        for call in calls:
            try:
                outcomes += call()
            except Retry as retry:
                retries.append(str(retry))
        return outcomes, retries
