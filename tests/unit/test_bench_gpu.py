"""The benchmark for GPUs, with tiny models on the CPU."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kaption.workers.captioners.transformers import TransformersCaptioner
from kaption.workers.runtime.stage import OutOfMemory

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _bench_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    from bench import gpu

    monkeypatch.setattr(sys, "argv", ["gpu", "--tiny", "--tokens", "3", "--turns", "1", *options])
    gpu.main()


def test_every_batch_size_has_its_ratio(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # When it runs with three sizes for captions and one for embeddings
    run(monkeypatch, "--batches", "1", "2", "5", "--encode-batches", "4")

    # Then each size has a line with its ratio
    printed = capsys.readouterr().out
    assert "3 candidates of 3 tokens each on both sides" in printed
    assert re.findall(r"recaption, batch (\d+) +\d+\.\d\dx the recipe", printed) == ["1", "2", "5"]
    assert re.findall(r"encode, batch (\d+) +\d+\.\d\d of the measured", printed) == ["4"]


def test_a_size_that_does_not_fit_is_reported_and_the_next_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a device without room for two images
    caption = TransformersCaptioner.caption

    def cramped(self, images, contexts):
        if len(images) == 2:
            raise OutOfMemory("full")
        return caption(self, images, contexts)

    monkeypatch.setattr(TransformersCaptioner, "caption", cramped)

    # When the benchmark runs with that size among others
    run(monkeypatch, "--batches", "1", "2", "3", "--encode-batches", "4")

    # Then only that size has no ratio
    printed = capsys.readouterr().out
    assert re.findall(r"recaption, batch (\d+) +out of memory", printed) == ["2"]
    assert re.findall(r"recaption, batch (\d+) +\d+\.\d\dx", printed) == ["1", "3"]


def test_sides_that_generate_different_numbers_of_tokens_are_not_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a recipe that generates nothing
    from bench import gpu

    monkeypatch.setattr(gpu, "published_recipe", lambda *_: [])

    # When, then
    with pytest.raises(SystemExit, match="ours 3, the recipe 0"):
        run(monkeypatch)


def test_the_models_have_the_published_sizes() -> None:
    from transformers import Blip2ForConditionalGeneration

    from bench.random_models import blip2_config, vit_flops

    # When the models are described, without weights
    with torch.device("meta"):
        blip2 = Blip2ForConditionalGeneration(blip2_config(tiny=False))

    # Then BLIP-2 has 3.7 billion weights, and ViT-L/14 81 billion multiply-adds for an image
    assert sum(weight.numel() for weight in blip2.parameters()) == pytest.approx(3.74e9, rel=0.01)
    assert vit_flops(tiny=False) == pytest.approx(2 * 81e9, rel=0.01)


def test_without_cuda_all_benchmarks_skip_the_gpu_and_say_so() -> None:
    # Given no device
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}

    # When it is one of the benchmarks to run
    done = subprocess.run(
        [sys.executable, "-m", "bench", "gpu"],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )

    # Then one line says that it is skipped
    assert done.stdout.strip() == "bench.gpu is skipped: there is no CUDA device"
