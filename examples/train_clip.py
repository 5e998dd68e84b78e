"""Train a small CLIP from random weights on pairs.clean, while the crawl is still running.

    python examples/train_clip.py --bootstrap 127.0.0.1:9092 --store kaption-store --out OUT

Each step takes a batch of the pairs that are there. OUT/last.pt holds the model, the optimiser and
the position in the stream. Started again, training continues from that file, also after kill -9.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import open_clip
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torchdata.stateful_dataloader import StatefulDataLoader

from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.consumers import Sample, TopicOptions, TopicStream, TrainingBatches
from kaption.consumers.training.examples import ExampleMaker, TrainingBatch
from kaption.consumers.training.images import Augmentation, ImageTransform
from kaption.consumers.training.mixing import CaptionMixing
from kaption.consumers.training.tokens import TextTokens
from kaption.schemas.letterbox import Letterbox
from short_rows import take_short_rows

DEMO_MODEL = Path(str(files("kaption.workers.demo").joinpath("models", "clip")))


class Training:
    """A model and its optimiser, fed by a stream with `state_dict` and `load_state_dict`."""

    def __init__(self, samples: Iterable[Sample], folder: Path, out: Path, batch_size: int) -> None:
        name = f"local-dir:{folder}"
        torch.manual_seed(0)
        # Only the configuration and the tokenizer are read from the folder, not the weights.
        self.model = open_clip.create_model(name, load_weights=False, force_custom_text=True)
        take_short_rows(self.model)
        self.letterbox = Letterbox.of(open_clip.get_model_preprocess_cfg(self.model))
        make = ExampleMaker(
            TextTokens(open_clip.get_tokenizer(name)),
            ImageTransform(self.letterbox, Augmentation()),
            CaptionMixing(),
        )
        self.batches = TrainingBatches(samples, make, batch_size=batch_size)
        self.loader = StatefulDataLoader(self.batches, batch_size=None)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, betas=(0.9, 0.98))
        self.loss = open_clip.ClipLoss()
        self.step = 0
        self.epoch = 0
        self.last = out / "last.pt"

    def run(self, steps: int, save_every: int = 25) -> list[float]:
        """Train until step number `steps`; returns the loss of each step."""
        losses: list[float] = []
        empty = 0  # an epoch that training continues in may have no pairs left
        while self.step < steps:
            if empty == 2:
                raise SystemExit("there are no pairs yet: run the workers, or give --follow")
            empty += 1
            self.batches.set_epoch(self.epoch)
            for batch in self.loader:
                empty = 0
                losses.append(self.learn(batch))
                self.step += 1
                if self.step % 10 == 0:
                    mean = sum(losses[-10:]) / len(losses[-10:])
                    print(f"step {self.step} loss {mean:.3f}", flush=True)
                if self.step % save_every == 0 or self.step == steps:
                    self.save()
                if self.step == steps:
                    return losses
            self.epoch += 1
        return losses

    def learn(self, batch: TrainingBatch) -> float:
        """Make one step; returns its loss."""
        pixels = self.letterbox.normalised(batch.pixels)
        # The flash kernel's backward pass is several times slower on CPUs.
        with sdpa_kernel(SDPBackend.MATH):
            loss = self.loss(*self.model(pixels, batch.tokens))
            self.optimizer.zero_grad()
            loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=math.log(100))
        return float(loss.detach())

    def save(self) -> None:
        """Write all that training needs to continue; a kill leaves the old file or the new one."""
        self.last.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.last.with_suffix(".new")
        torch.save(
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "loader": self.loader.state_dict(),
                "step": self.step,
                "epoch": self.epoch,
            },
            unfinished,
        )
        os.replace(unfinished, self.last)

    def resume(self) -> None:
        """Continue from the last save, where there is one."""
        if not self.last.exists():
            return
        saved = torch.load(self.last, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.loader.load_state_dict(saved["loader"])
        self.step, self.epoch = saved["step"], saved["epoch"]
        print(f"continuing from step {self.step}", flush=True)


def main() -> None:
    """Train on the topic until `--steps`."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--bootstrap", default="127.0.0.1:9092", help="Kafka's host:port")
    parser.add_argument("--topic-prefix", default="")
    parser.add_argument("--store", default="kaption-store", help="folder or s3://bucket/prefix")
    parser.add_argument("--model", type=Path, default=DEMO_MODEL, help="folder with its config")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--save-every", type=int, default=25, help="steps")
    parser.add_argument("--follow", action="store_true", help="wait for new pairs")
    given = parser.parse_args()
    stream = TopicStream(
        KafkaConnection(bootstrap=given.bootstrap, topic_prefix=given.topic_prefix),
        StoreConnection(url=given.store),
        options=TopicOptions(follow=given.follow),
    )
    training = Training(stream, given.model, given.out, given.batch_size)
    training.resume()
    training.run(given.steps, given.save_every)


if __name__ == "__main__":
    main()
