from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from kaption.connections.errors import Fatal
from kaption.workers.models.open_clip import OpenClipScorer, build
from kaption.workers.policy import ClipPolicy
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
    from kaption.workers.models.open_clip import _token_ids

    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    row = tokenizer(["a red circle, on grass"])[0]

    assert len(_token_ids(tokenizer)("a red circle, on grass")) == int((row != 0).sum())


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


def test_a_model_without_a_known_threshold_asks_for_one(tmp_path: Path) -> None:
    name = f"local-dir:{tiny_clip(tmp_path, recommended_score=None)}"

    with pytest.raises(Fatal, match="recommended_score"):
        build(ClipPolicy(model=name, device="cpu"))
    assert (
        build(ClipPolicy(model=name, device="cpu", recommended_score=0.2)).recommended_score == 0.2
    )


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(Fatal, match="'cuda:99'"):
        build(ClipPolicy(device="cuda:99"))
