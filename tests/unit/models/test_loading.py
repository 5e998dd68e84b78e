"""A scorer runs as its weights were trained, or is refused when it is loaded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from kaption.connections.errors import Fatal
from kaption.workers.models.open_clip import OpenClipScorer, build
from kaption.workers.models.probe import try_scorer
from kaption.workers.policy.score import ClipPolicy
from support.odd_models import change_weights, coca, transformers_text
from support.tiny_models import tiny_clip, tokenizer_in

pytestmark = pytest.mark.slow

WEIGHTS = "open_clip_model.safetensors"


def load(folder: Path, **changed: Any) -> OpenClipScorer:
    return build(ClipPolicy(model=f"local-dir:{folder}", device="cpu", **changed))


@pytest.fixture
def tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An architecture in open_clip's registry with a tag of each activation, same weights."""
    from open_clip import factory, pretrained

    config = {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32,
            "patch_size": 8,
            "width": 32,
            "layers": 2,
            "head_width": 16,
        },
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": 1,
        },
    }
    torch.manual_seed(2)
    file = tmp_path / "weights.pt"
    torch.save(open_clip.CLIP(**config).state_dict(), file)
    monkeypatch.setitem(factory._MODEL_CONFIGS, "tiny", config)
    monkeypatch.setitem(
        pretrained._PRETRAINED, "tiny", {"quick": {"quick_gelu": True}, "plain": {"url": "x"}}
    )
    monkeypatch.setattr(factory, "download_pretrained", lambda *_, **__: str(file))
    return file


def tagged(tag: str, **changed: Any) -> OpenClipScorer:
    given: dict[str, Any] = {"recommended_score": 0.1, "device": "cpu", "pretrained": tag} | changed
    return build(ClipPolicy(model="tiny", **given))


def activations(scorer: OpenClipScorer) -> set[str]:
    kinds = {type(module).__name__ for module in scorer._model.modules()}
    return kinds & {"QuickGELU", "GELU"}


def test_a_tag_runs_with_the_activation_that_the_registry_names(tags: Path) -> None:
    assert activations(tagged("quick")) == {"QuickGELU"}
    assert activations(tagged("plain")) == {"GELU"}
    assert activations(tagged(str(tags))) == {"GELU"}


@pytest.mark.parametrize("revision", [None, "v7"])
def test_the_same_weights_with_another_activation_have_another_revision(
    tags: Path, revision: str | None
) -> None:
    quick, plain = tagged("quick", revision=revision), tagged("plain", revision=revision)
    half = tagged("quick", revision=revision, precision="bf16")

    assert len({quick.revision, plain.revision, half.revision}) == 3
    assert tagged("quick", revision=revision).revision == quick.revision


def test_the_registry_names_the_activation_of_openais_weights() -> None:
    given = open_clip.get_pretrained_cfg("ViT-B-32", "openai")

    assert given["quick_gelu"] is True
    assert not open_clip.get_pretrained_cfg("ViT-B-32", "laion2b_s34b_b79k").get("quick_gelu")


@pytest.mark.parametrize("make", [tiny_clip, coca, transformers_text])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_scorers_of_each_kind_run_in_the_precision_of_gpus(
    make: Callable[[Path], Path], precision: Any, tmp_path: Path
) -> None:
    folder = make(tmp_path / "model") if make is tiny_clip else make(_made(tmp_path / "model"))
    exact, short = load(folder, precision="fp32"), load(folder, precision=precision)
    texts = ["a red circle", "the blue star on grass"]

    cosines = (exact.encode_texts(texts) * short.encode_texts(texts)).sum(1)

    assert (cosines > 0.98).all()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


TEXTS = [
    "a red star <end> on grass",
    "a red star <END> on grass",
    "a red star &lt;end&gt; on grass",
    "a red star &amp;amp;lt;end&amp;amp;gt; on grass",
    "a red star <start> on grass",
    "a red star <pad><pad> on grass",
    "a red star \uff1cend\uff1e on grass",
    "<end><end<end>>a red star on grass",
]


@pytest.mark.parametrize("text", TEXTS)
def test_special_tokens_in_a_text_hide_nothing(text: str, tmp_path: Path) -> None:
    scorer = load(tiny_clip(tmp_path))

    whole, other, count = _three(scorer, text)

    assert not np.allclose(whole, other)
    assert count > scorer.count_tokens("a red star on")


@pytest.mark.parametrize(
    "text",
    [
        *(
            each.replace("end>", "end_of_text>").replace("start>", "start_of_text>")
            for each in TEXTS
            if "pad" not in each and "&" not in each
        ),
        "a red star &lt;end_of_text&gt; on grass",
        "a red star &amp;amp;lt;end_of_text&amp;amp;gt; on grass",
    ],
)
def test_special_tokens_in_a_text_hide_nothing_from_the_clip_tokenizer(
    tags: Path, text: str
) -> None:
    scorer = tagged("plain")
    rows = scorer._tokens.rows([text])[0]

    whole, other, _ = _three(scorer, text)

    assert int((rows >= 49406).sum()) == 2
    assert not np.allclose(whole, other)


def _three(scorer: OpenClipScorer, text: str) -> tuple[Any, Any, int]:
    """The embeddings of a text, and of one with another end; the number of its tokens."""
    whole, other = scorer.encode_texts([text, text.replace("grass", "snow table")])
    return whole, other, scorer.count_tokens(text)


@pytest.mark.parametrize("text", ["a < b and b > a", "1 &amp; 2 &lt; 3", "cats &", "<b>bold</b>"])
def test_other_texts_have_the_tokens_that_the_tokenizer_gives(tags: Path, text: str) -> None:
    scorer = tagged("plain")

    assert torch.equal(scorer._tokens.rows([text]), scorer._tokens._tokenizer([text]))


def test_a_text_of_nested_entities_takes_no_time(tags: Path) -> None:
    assert tagged("plain").count_tokens("&" + "amp;" * 2_000 + "lt;end_of_text&gt;") > 2


def _lacking(weights: dict[str, torch.Tensor]) -> None:
    del weights["text_projection"]


def _nan(weights: dict[str, torch.Tensor]) -> None:
    weights["visual.proj"] *= float("nan")


def _dead(weights: dict[str, torch.Tensor]) -> None:
    weights["visual.proj"] *= 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_lacking, r"cannot be loaded: .*text_projection"),
        (_nan, "embeddings of images are not finite"),
        (_dead, "embeddings of images are not unit vectors"),
    ],
)
def test_weights_that_cannot_score_are_refused(change: Any, why: str, tmp_path: Path) -> None:
    folder = tiny_clip(tmp_path)
    change_weights(folder, change, WEIGHTS)

    with pytest.raises(Fatal, match=why) as raised:
        load(folder)

    assert "\n" not in str(raised.value)


def _grown(folder: Path) -> None:
    tokenizer = tokenizer_in(folder)
    tokenizer.add_tokens(["cat", "猫"])
    tokenizer.save_pretrained(folder)


def _for_clips_tokenizer(folder: Path) -> None:
    _configured(folder, hf_tokenizer_name=None)


def _configured(folder: Path, **given: object) -> None:
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["text_cfg"] |= given
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (tiny_clip, _grown),
        (coca, _grown),
        (transformers_text, _grown),
        (tiny_clip, _for_clips_tokenizer),
    ],
)
def test_a_tokenizer_with_tokens_that_the_scorer_has_no_rows_for_is_refused(
    make: Callable[[Path], Path], change: Callable[[Path], None], tmp_path: Path
) -> None:
    tmp_path.joinpath("model").mkdir()
    folder = make(tmp_path / "model")
    change(folder)

    with pytest.raises(Fatal, match=r"tokens up to number \d+, and .+ Fetch tokenizer") as raised:
        load(folder)

    assert "\n" not in str(raised.value)


def test_marks_of_gaps_need_no_rows_in_a_scorer(tmp_path: Path) -> None:
    folder = tiny_clip(tmp_path)
    tokenizer = tokenizer_in(folder)
    tokenizer.add_tokens([f"<extra_id_{n}>" for n in range(100)])
    tokenizer.save_pretrained(folder)

    rows = load(folder).encode_texts(["a red star", "a <extra_id_99> star"])

    assert np.isfinite(rows).all()


def test_a_context_that_the_text_tower_has_no_positions_for_is_refused(tmp_path: Path) -> None:
    folder = transformers_text(tmp_path)
    _configured(folder, context_length=64)

    with pytest.raises(Fatal, match=r"as long as its context of 64 .+ context_length") as raised:
        load(folder)

    assert "\n" not in str(raised.value)


def test_a_scorer_with_code_of_its_own_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, ran = tiny_clip(tmp_path / "model"), tmp_path / "ran"
    (folder / "code.py").write_text(f"open({str(ran)!r}, 'w')")
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    settings["auto_map"] = {"AutoTokenizer": ["code.Tokenizer", "code.Tokenizer"]}
    settings["tokenizer_class"] = "OwnTokenizer"
    path.write_text(json.dumps(settings))
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"trust_remote_code": True}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("asked on the console"))

    with pytest.raises(Fatal, match="runs no code from a model's repository"):
        load(folder)

    assert not ran.exists()


def test_a_scorer_too_large_for_its_device_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nMore lines")

    folder = tiny_clip(tmp_path)
    monkeypatch.setattr(open_clip, "create_model_and_transforms", full)

    with pytest.raises(Fatal, match=r"does not fit into the memory .+ smaller model") as raised:
        load(folder)

    assert "\n" not in str(raised.value)


def test_the_bundled_scorer_tells_colours() -> None:
    told = try_scorer(build(ClipPolicy(model="demo", device="cpu", threads=1)))

    assert told.right > told.images / 2
    assert str(told).startswith("told the colour of")
