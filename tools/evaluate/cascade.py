"""What a cheap captioner, a large one, and a large one only below a bar give and take.

The cheap one is the demo's captioner with one candidate, the large one the same with five.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from tools.demo_models.measure import ClipUnderTest
from tools.evaluate.facts import by_kind
from tools.evaluate.figures import Figure, share
from tools.evaluate.held_out import cases, kept
from tools.evaluate.mentions import compare
from tools.evaluate.retrieval import ranks

CHEAP, LARGE = ("rules", "tools.evaluate.cheap:build"), ("transformers",)
WAYS: Mapping[str, Mapping[str, Any]] = {
    "cheap alone": {"captioners": CHEAP},
    "cascade": {"captioners": CHEAP, "large": LARGE},
    "cascade, bar 0.6": {"captioners": CHEAP, "large": LARGE, "bar": 0.6},
    "large alone": {"captioners": ("rules", *LARGE)},
}
"""Settings of recaption, each for a run of its own."""


def measure(folder: Path, pairs: int, seed: int, judge: Path, console: Console) -> list[Figure]:
    """Figures of each way, over the pairs whose best caption a model wrote. Runs are kept."""
    clip, figures = ClipUnderTest(judge), []
    for way, changed in WAYS.items():
        run = folder / way.replace(",", "").replace(" ", "-")
        run.mkdir(exist_ok=True)
        found = list(kept(run, cases(run, pairs, seed, console, changed)))
        summary = json.loads((run / "run" / "summary.json").read_text("utf-8"))
        images = summary["captioners"]["rules"]["asked"]
        large = summary["captioners"].get("transformers", {}).get("asked", 0)
        again = np.array([one.recaptioned for one in found])
        facts = [compare(o.pair.captions[0].text, o.truth.scene) for o in found if o.recaptioned]
        texts = clip.texts([one.caption for one in found])
        ahead = ranks(texts, clip.images([one.image for one in found]))
        seconds = summary["per_clean_pair"]["model_seconds"]
        figures += [
            share(f"{way}: images that the large one was asked about", np.arange(images) < large),
            *by_kind(way, facts)[:2],
            share(f"{way}: Recall@1", ahead[again] < 1),
            Figure(f"{way}: model seconds of an accepted pair", seconds, None, None, len(found)),
        ]
    return figures
