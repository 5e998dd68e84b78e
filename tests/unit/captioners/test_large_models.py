"""Captioners whose weights are integers, or whose layers lie on several devices."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from kaption.connections.errors import Fatal
from kaption.workers.captioners import _placement
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.captioners.transformers import TransformersCaptioner, build
from kaption.workers.policy.recaption import RecaptionPolicy, SamplingPolicy, TransformersPolicy
from support.tiny_chats import qwen_vl
from support.tiny_models import tiny_blip

pytestmark = pytest.mark.slow
RED = Image.new("RGB", (60, 40), (200, 20, 20))


def load(folder: Path, **given: Any) -> TransformersCaptioner:
    sampling = SamplingPolicy(max_new_tokens=4)
    policy = TransformersPolicy(model=str(folder), device="cpu", sampling=sampling, **given)
    return build(RecaptionPolicy(transformers=policy))


def wide(folder: Path) -> Path:
    """A model whose rows are as long as the blocks of 4-bit weights."""
    return qwen_vl(folder, width=64)


@pytest.mark.parametrize(
    ("make", "bits", "kind"),
    [
        (tiny_blip, "int8", torch.int8),
        (qwen_vl, "int8", torch.int8),
        (wide, "int4", torch.uint8),
    ],
)
def test_weights_become_integers(make: Any, bits: str, kind: torch.dtype, tmp_path: Path) -> None:
    plain = load(make(tmp_path), revision="1")
    made = load(tmp_path, revision="1", quantization=bits)

    (captions,) = made.caption([RED], [CaptionContext("a red star")])

    assert kind in {weight.dtype for weight in made._loaded.model.parameters()}
    assert len(captions) == 5
    assert made.cache_id != plain.cache_id


def test_a_device_map_gives_the_same_captions(tmp_path: Path) -> None:
    plain, spread = load(qwen_vl(tmp_path)), load(tmp_path, device_map="auto")

    found = [made.caption([RED], [CaptionContext("")]) for made in (plain, spread)]

    assert found[0] == found[1]


def test_a_family_that_cannot_be_spread_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="'blip' are not spread over GPUs: unset") as raised:
        load(tiny_blip(tmp_path), device_map="auto")

    assert "\n" not in str(raised.value)


def test_layers_that_no_gpu_has_room_for_are_refused() -> None:
    model: Any = torch.nn.Linear(1, 1)
    model.hf_device_map = {"vision": 0, "layers.0": 1, "layers.1": "cpu"}

    with pytest.raises(Fatal, match="does not fit into the memory of the GPUs"):
        _placement.placed("the model", model, {"device_map": "auto"}, torch.device("cuda"))


@pytest.mark.parametrize(
    ("given", "missing", "why"),
    [
        ({"quantization": "int8"}, {"bitsandbytes"}, "quantization needs the package bitsandbytes"),
        ({"quantization": "int4"}, {"bitsandbytes", "accelerate"}, "accelerate and bitsandbytes"),
        ({"device_map": "auto"}, {"accelerate"}, "device_map needs the package accelerate"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    given: Any, missing: set[str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "kaption.workers.captioners._placement.find_spec",
        lambda name: None if name in missing else name,
    )

    with pytest.raises(Fatal, match=f"{why}.* pip install 'kaption\\[large\\]'") as raised:
        load(tiny_blip(tmp_path), **given)

    assert "\n" not in str(raised.value)
