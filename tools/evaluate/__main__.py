"""Runs the measures and prints their tables: `make evaluate`, or `python -m tools.evaluate`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp

import torch
from rich.console import Console

from kaption.connections.errors import Fatal
from kaption.workers.settings import UserError
from tools.evaluate import (
    alignment,
    cascade,
    diversity,
    documents,
    downstream,
    faces,
    facts,
    filtering,
    fusion,
    hard_texts,
    judge,
    known_images,
    perplexity,
    personal_data,
    real,
    retrieval,
    selection,
    text_checks,
    thresholds,
)
from tools.evaluate.figures import Figure, plain, table
from tools.evaluate.held_out import SEED, Case, Kept, cases, kept


@dataclass(frozen=True)
class Evaluation:
    """The pairs of one run, which are made when the first measure asks for them."""

    run: Path
    pairs: int
    seed: int
    judge: Path | None
    items: int
    steps: int
    console: Console

    @cached_property
    def cases(self) -> list[Case]:
        """Every pair of the crawl."""
        return cases(self.run, self.pairs, self.seed, self.console)

    @cached_property
    def kept(self) -> list[Kept]:
        """The pairs that the pipeline kept."""
        return list(kept(self.run, self.cases))

    @cached_property
    def greedy(self) -> list[str]:
        """The greedy captioner's texts for the recaptioned pairs."""
        return diversity.greedy_captions(self.kept)

    def thresholds(self) -> list[Figure]:
        """The measure of that name, which also needs the pairs with a right alt text."""
        right = {case.truth.pair_id for case in self.cases if filtering.is_right(case)}
        return thresholds.measure(self.kept, [one.truth.pair_id in right for one in self.kept])

    def downstream(self) -> list[Figure]:
        """The measure of that name, which also needs the pairs with an accepted alt text."""
        ids = {case.truth.pair_id for case in self.cases if filtering.accepted(case)}
        good = [one.truth.pair_id in ids for one in self.kept]
        return downstream.measure(self.kept, good, downstream.Recipe(steps=self.steps))

    def command(self, name: str) -> str:
        """The command that repeats a measure."""
        crawl = f"--pairs {self.pairs} --seed {self.seed}"
        fewer = f"{crawl} --steps {self.steps}" if self.steps < perplexity.STEPS else crawl
        options = {
            "perplexity": fewer,
            "checks": fewer,
            "alignment": f"--items {self.items}",
            "fusion": f"--items {self.items}",
            "real": "",
            "personal": "",
            "faces": "",
            "documents": "",
            "known": "",
            "downstream": f"{crawl} --steps {self.steps}",
            "retrieval": crawl + (f" --judge {self.judge}" if self.judge else ""),
            "selection": crawl + (f" --judge {self.judge}" if self.judge else ""),
            "cascade": crawl + (f" --judge {self.judge}" if self.judge else ""),
        }
        arguments = f"{name} {options.get(name, crawl)}".strip()
        return f'make evaluate ARGS="{arguments}"'


MEASURES: Mapping[str, Callable[[Evaluation], list[Figure]]] = {
    "filtering": lambda run: filtering.measure(run.cases),
    "hard": lambda run: hard_texts.measure([(o.image, o.truth.scene) for o in run.kept]),
    "thresholds": Evaluation.thresholds,
    "facts": lambda run: facts.measure(run.kept),
    "diversity": lambda run: diversity.measure(run.kept, run.greedy),
    "perplexity": lambda run: perplexity.measure(run.kept, run.greedy, run.steps),
    "checks": lambda run: text_checks.measure(run.kept, run.steps),
    "alignment": lambda run: alignment.measure(run.items),
    "retrieval": lambda run: retrieval.measure(run.kept, run.judge),
    "selection": lambda run: selection.measure(run.kept, run.judge),
    "fusion": lambda run: fusion.measure(run.items),
    "downstream": Evaluation.downstream,
}
"""The quick ones come first: the judge of retrieval is trained at its first use."""
ALONE: Mapping[str, Callable[[Evaluation], list[Figure]]] = {
    "cascade": lambda run: cascade.measure(
        run.run, run.pairs, run.seed, run.judge or judge.trained(), run.console
    ),
    "real": lambda run: real.measure(run.run, run.console),
    "personal": lambda run: personal_data.measure(),
    "faces": lambda run: faces.measure(),
    "documents": lambda run: documents.measure(),
    "known": lambda run: known_images.measure(),
}
"""Only where they are asked for: single checks, what downloads, what runs the stream again."""


def main() -> None:
    """Print a table for each measure, and write figures.json."""
    parser = argparse.ArgumentParser(prog="python -m tools.evaluate", description=__doc__)
    measures = {**MEASURES, **ALONE}
    names = ", ".join(measures)
    told = f"of {names}; default: all but {', '.join(ALONE)}"
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=told)
    parser.add_argument("--pairs", type=int, default=2000, help="pairs of the crawl")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the crawl")
    parser.add_argument("--run", type=Path, help="folder of the run; a run in it is used again")
    parser.add_argument("--judge", type=Path, help="an open_clip folder, in place of our judge")
    parser.add_argument("--items", type=int, default=300, help="images of alignment and fusion")
    parser.add_argument(
        "--steps",
        type=int,
        default=400,
        help="training steps of downstream, and most of perplexity and checks",
    )
    given = parser.parse_args()
    if unknown := sorted(set(given.measures) - set(measures)):
        parser.error(f"no measure {', '.join(unknown)}: there are {names}")
    folder = given.run or Path(mkdtemp(prefix="kaption-evaluate-"))
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    console, out = Console(stderr=True), Console(width=110)
    given.run = folder
    run = Evaluation(**{k: v for k, v in vars(given).items() if k != "measures"}, console=console)
    file = folder / "figures.json"
    # Measures of one run may be asked for one by one.
    found = json.loads(file.read_text("utf-8")) if file.exists() else {}
    for name in given.measures or MEASURES:
        console.print(f"measuring {name}")
        try:
            figures = measures[name](run)
        except (UserError, Fatal) as error:
            sys.exit(str(error))
        found[name] = {"command": run.command(name), "figures": plain(figures)}
        # Not through rich, which would wrap a long command.
        print(f"$ {run.command(name)}")
        out.print(table(figures))
        print(flush=True)
    file.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    console.print(f"figures are in {file}")


if __name__ == "__main__":
    main()
