import json
import math
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from kaption.connections.errors import Fatal
from kaption.workers.models._tokens import Tokens
from kaption.workers.models.open_clip import OpenClipScorer, build
from kaption.workers.policy.score import ClipPolicy
from support.tiny_models import tiny_clip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def scorer(folder: Path) -> OpenClipScorer:
    return build(ClipPolicy(model=f"local-dir:{folder}", device="cpu"))


def image_bytes(width: int, height: int, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height))


def test_embeddings_are_those_of_the_model_itself(folder: Path, scorer: OpenClipScorer) -> None:
    model, _, _ = open_clip.create_model_and_transforms(
        f"local-dir:{folder}", require_pretrained=True
    )
    pixels = scorer.preprocess(image_bytes(32, 32))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([0.5, 0.4, 0.3], [0.25, 0.25, 0.25]))

    with torch.inference_mode():
        expected = model.eval().encode_image(((pixels / 255 - mean) / std)[None], normalize=True)

    np.testing.assert_allclose(scorer.encode_images([pixels]), expected.numpy(), atol=1e-5)


def test_texts_and_images_become_unit_rows_whatever_the_batch(scorer: OpenClipScorer) -> None:
    pixels = [scorer.preprocess(image_bytes(40, 30, seed)) for seed in range(3)]
    texts = ["a red circle", "the blue star on grass"]

    together = scorer.encode_images(pixels)
    words = scorer.encode_texts(texts)

    assert words.shape == (2, 16)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(np.vstack([together, words]), axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(together[1], scorer.encode_images([pixels[1]])[0], atol=1e-5)


@pytest.mark.parametrize(
    "text_tower",
    [
        {"pool_type": "eos"},
        {"pool_type": "argmax"},
        {"pool_type": "eos", "proj_bias": True},
        # Here padding changes the row.
        {"pool_type": "last"},
        {"pool_type": "eos", "no_causal_mask": True},
    ],
)
def test_texts_of_any_length_have_the_rows_that_the_model_gives_them(
    text_tower: dict[str, object], tmp_path: Path
) -> None:
    folder = tiny_clip(tmp_path)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] |= text_tower
    name = f"local-dir:{folder}"
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model = open_clip.create_model(name, require_pretrained=False, load_weights=False).eval()
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    texts = [" ".join(["a red star"] * count) for count in (9, 1, 20, 0, 2, 40)]

    with torch.inference_mode():
        expected = model.encode_text(open_clip.get_tokenizer(name)(texts), normalize=True)

    rows = build(ClipPolicy(model=name, device="cpu")).encode_texts(texts)
    np.testing.assert_allclose(rows, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("size", [(64, 20), (20, 64), (500, 3)])
def test_an_image_is_letterboxed_with_the_mean_colour(
    scorer: OpenClipScorer, size: tuple[int, int]
) -> None:
    white = Image.new("RGB", size, (255, 255, 255))

    pixels = scorer.preprocess(white)

    mean_colour = torch.tensor([128, 102, 76], dtype=torch.uint8)
    seen = (pixels == 255).all(0)
    assert pixels.shape == (3, 32, 32)
    assert torch.equal(pixels[:, 0, 0], mean_colour)
    assert seen.any(0).sum() == (32 if size[0] > size[1] else round(32 * size[0] / size[1]))
    assert seen.any(1).sum() == max(1, round(32 * min(1, size[1] / size[0])))


def test_tokens_are_counted_past_the_context(scorer: OpenClipScorer) -> None:
    assert scorer.context_length == 16
    assert scorer.count_tokens("a red circle") == 5
    assert scorer.count_tokens("red " * 40) == 42


def test_the_clip_tokenizer_is_counted_with_its_marks() -> None:
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    row = tokenizer(["a red circle, on grass"])[0]

    assert Tokens(tokenizer).count("a red circle, on grass") == int((row != 0).sum())


def test_the_revision_follows_the_weights(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    same = build(ClipPolicy(model=f"local-dir:{folder}", device="cpu"))
    other = tiny_clip(tmp_path / "other", context=20)
    changed = build(ClipPolicy(model=f"local-dir:{other}", device="cpu"))
    named = build(ClipPolicy(model=f"local-dir:{folder}", device="cpu", revision="v7"))

    assert same.revision.startswith("sha256:")
    assert same.revision == build(ClipPolicy(model=f"local-dir:{folder}", device="cpu")).revision
    assert changed.revision != same.revision
    assert named.revision.startswith("v7+")


def test_half_precision_gives_nearly_the_same_rows(folder: Path, scorer: OpenClipScorer) -> None:
    half = build(ClipPolicy(model=f"local-dir:{folder}", device="cpu", precision="bf16"))
    pixels = [scorer.preprocess(image_bytes(40, 30))]

    cosine = half.encode_images(pixels)[0] @ scorer.encode_images(pixels)[0]

    assert cosine > 0.99
    assert half.revision != scorer.revision


@pytest.mark.parametrize(
    "policy",
    [
        ClipPolicy(model="local-dir:/nowhere"),
        ClipPolicy(model="ViT-B-32"),
        ClipPolicy(model="ViT-B-32", pretrained="no-such-tag"),
        ClipPolicy(model="no-such-architecture", pretrained="openai"),
    ],
)
def test_a_model_that_cannot_be_loaded_says_what_to_give(policy: ClipPolicy) -> None:
    with pytest.raises(Fatal, match=r"cannot be loaded: .+ Give `demo`"):
        build(policy)


def test_missing_weights_are_not_replaced_by_random_ones(folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in folder.iterdir():
        if path.suffix == ".json":
            (bare / path.name).write_bytes(path.read_bytes())

    with pytest.raises(Fatal, match="cannot be loaded"):
        build(ClipPolicy(model=f"local-dir:{bare}"))


def test_a_model_without_a_known_threshold_recommends_none(tmp_path: Path) -> None:
    name = f"local-dir:{tiny_clip(tmp_path, recommended_score=None)}"

    assert build(ClipPolicy(model=name, device="cpu")).recommended_score is None
    assert (
        build(ClipPolicy(model=name, device="cpu", recommended_score=0.2)).recommended_score == 0.2
    )


def test_a_siglip_model_has_a_threshold_of_its_own(tmp_path: Path) -> None:
    # Given a model with the logit scale and bias of SigLIP, and no published threshold
    folder = tiny_clip(tmp_path, recommended_score=None, logit_bias=-16.5, logit_scale=112.0)
    # When it is loaded
    scorer = build(ClipPolicy(model=f"local-dir:{folder}", device="cpu"))
    # Then the threshold is the cosine at which the model gives a text a probability of 1 %
    assert scorer.recommended_score is not None
    probability = 1 / (1 + math.exp(-(scorer.recommended_score * 112.0 - 16.5)))
    assert probability == pytest.approx(0.01, rel=1e-3)


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(Fatal, match="'cuda:99'"):
        build(ClipPolicy(model="demo", device="cuda:99"))
