"""A held-out noisy crawl and what the pipeline, as shipped, made of each of its pairs."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PIL import Image
from pydantic import TypeAdapter
from rich.console import Console

from kaption.consumers import Read
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.folder import FolderStore
from kaption.producers.sources import Found
from kaption.schemas import CaptionKind, CleanPair, DeadLetter, RejectedPair
from kaption.workers.batch.servers import ServerAddresses, store_folder
from kaption.workers.cli.run import run_pairs
from kaption.workers.demo.crawl import Crawl
from kaption.workers.demo.site import FETCH, Site
from kaption.workers.demo.truth import Truth
from kaption.workers.settings import load_settings

SEED = 20_011
"""Seed of the crawl. The demo has seed 1, its tests 3, and the models train from 1,000,000 on."""
_CASES = "cases.jsonl"
Outcome = CleanPair | RejectedPair | None
"""None: the pair has no outcome that a person can use: it is dead, or was lost."""


@dataclass(frozen=True, slots=True)
class Case:
    """A pair of the crawl: the truth, and what became of it."""

    truth: Truth
    outcome: Outcome

    @property
    def recaptioned(self) -> bool:
        """Whether the best caption is a generated one."""
        return (
            isinstance(self.outcome, CleanPair)
            and self.outcome.captions[0].kind is not CaptionKind.ORIGINAL
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """A pair that the pipeline kept, with its image as ingest stored it."""

    truth: Truth
    pair: CleanPair
    image: Image.Image
    recaptioned: bool

    @property
    def caption(self) -> str:
        """The best caption, as a model with the scorer's context reads it."""
        best = self.pair.captions[0]
        return best.fitted_text or best.text


def cases(
    folder: Path,
    pairs: int,
    seed: int,
    console: Console,
    recaption: Mapping[str, Any] = MappingProxyType({}),
) -> list[Case]:
    """Run the pipeline over a crawl and keep the outcomes in `folder`, or read those kept there.

    `recaption` are settings of that stage. Raises ValueError where `folder` holds the outcomes of
    another crawl.
    """
    file = folder / _CASES
    if not file.exists():
        _run(folder, pairs, seed, console, recaption)
    head, *lines = file.read_text("utf-8").splitlines()
    if json.loads(head) != {"pairs": pairs, "seed": seed}:
        raise ValueError(f"{file} is of another crawl: {head}; give another folder with --run")
    adapter = TypeAdapter(Case)
    return [adapter.validate_json(line) for line in lines]


def kept(folder: Path, found: list[Case]) -> Iterator[Kept]:
    """The pairs that were kept, with their images."""
    blobs = BlobStore(FolderStore(store_folder(folder / "run")))
    for case in found:
        if isinstance(case.outcome, CleanPair):
            image = Image.open(io.BytesIO(blobs.get(case.outcome.image.blob))).convert("RGB")
            yield Kept(case.truth, case.outcome, image, case.recaptioned)


def _run(
    folder: Path, pairs: int, seed: int, console: Console, recaption: Mapping[str, Any]
) -> None:
    settings = load_settings(None, "demo")
    ingest = settings.ingest.model_copy(update={"fetch": FETCH})
    captioning = settings.recaption.model_copy(update=dict(recaption))
    settings = settings.model_copy(update={"ingest": ingest, "recaption": captioning})
    console.print(f"rendering a crawl of {pairs} pairs")
    crawl = Crawl(seed, pairs)
    outcomes: dict[str, Outcome] = {}

    def remember(read: Read) -> None:
        if isinstance(read.record, CleanPair | RejectedPair):
            outcomes[read.record.pair_id] = read.record
        elif isinstance(read.record, DeadLetter) and read.record.key:
            outcomes[read.record.key.decode(errors="replace")] = None

    name = f"evaluation {seed} {pairs} {uuid.uuid4()}"  # each site has another port
    with Site(crawl.pages) as site:
        items = (Found(record, "") for record in crawl.records(site.url))
        run_pairs(settings, items, name, folder / "run", ServerAddresses(), console, remember)
    adapter = TypeAdapter(Case)
    lines = [json.dumps({"pairs": pairs, "seed": seed})]
    for truth in crawl.truths:
        case = Case(truth, outcomes.get(truth.pair_id))
        lines.append(adapter.dump_json(case).decode())
    # Written last: a run that was stopped half way is not taken for a whole one.
    (folder / _CASES).write_text("\n".join(lines) + "\n", "utf-8")
