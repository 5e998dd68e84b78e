# letters of many scripts are what this is about
"""The check `perplexity` with a tiny causal model that is trained here on sentences of scenes."""

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
import torch
from safetensors.torch import load_file, save_file

from kaption.connections.errors import Fatal
from kaption.schemas import Caption, CaptionKind, Route
from kaption.testing.checks import CheckConformance
from kaption.testing.records import captioned_pair, incoming
from kaption.workers.checks.perplexity import PerplexityCheck, build
from kaption.workers.demo.scenes import describe, random_scene
from kaption.workers.plugins import load_checks
from kaption.workers.policy.select import PerplexityPolicy, SelectPolicy
from kaption.workers.stages.select.checked import Batch, SelectInput
from kaption.workers.stages.select.fluency import Fluency, shuffle
from kaption.workers.stores.cosines import CosineStore
from support.tiny_causal import random_gpt2, trained_gpt2

pytestmark = pytest.mark.slow
PLAIN = ("a large red circle on the grass", "a small blue star in a cloudy sky")
SALAD = ("grass the on circle red large a", "sky a star in small blue cloudy a")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_gpt2(tmp_path_factory.mktemp("causal"))


def made(folder: Path, **policy: object) -> PerplexityCheck:
    given = PerplexityPolicy.model_validate({"model": str(folder), "device": "cpu"} | policy)
    return build(SelectPolicy(perplexity=given))


def verdict(check: PerplexityCheck, text: str, kind: CaptionKind = CaptionKind.VLM) -> bool:
    return check.check(Caption(text=text, kind=kind)).passed


class TestPerplexity(CheckConformance):
    accepted = PLAIN
    refused = SALAD

    @pytest.fixture(scope="class")
    @classmethod
    def policy(cls, folder: Path) -> SelectPolicy:
        given = PerplexityPolicy(model=str(folder), most=100.0)
        return SelectPolicy(checks=("perplexity",), perplexity=given)


def test_it_is_among_all_checks_where_it_has_a_model_and_not_for_alt_texts(folder: Path) -> None:
    policy = SelectPolicy(perplexity=PerplexityPolicy(model=str(folder)))

    assert "perplexity" in [check.name for check in load_checks(policy)]
    assert "perplexity" not in [check.name for check in load_checks(policy, alt_texts=True)]
    assert "perplexity" not in [check.name for check in load_checks(SelectPolicy())]


def test_texts_of_people_and_rules_get_their_value_and_pass(folder: Path) -> None:
    check = made(folder, most=2.0)
    for text in ("Nike Air Max 90, white, size 42", "cat, dog, sofa", "ein rotes Haus"):
        for kind in (CaptionKind.ORIGINAL, CaptionKind.RULE, CaptionKind.HUMAN):
            result = check.check(Caption(text=text, kind=kind))
            assert result.passed
            assert (result.value or 0.0) > 2


def test_a_loop_is_probable_and_salad_is_no_loop(folder: Path) -> None:
    # Given the two checks
    perplexity, (repetition,) = (
        made(folder, most=100.0),
        load_checks(SelectPolicy(checks=("repetition",))),
    )
    rng = random.Random(4)
    for _ in range(10):
        text = describe(random_scene(rng), "appearance")
        # When a model says a sentence twice, or mixes its words up
        loop = f"{text} and {text} and {text} and {text}"
        salad = " ".join(rng.sample(text.split(), len(text.split())))
        # Then each check finds what the other one misses
        assert verdict(perplexity, loop)
        assert not repetition.check(Caption(text=loop, kind=CaptionKind.VLM)).passed
        assert repetition.check(Caption(text=salad, kind=CaptionKind.VLM)).passed
    assert not any(verdict(perplexity, text) for text in SALAD)


def test_a_batch_is_read_at_once_and_gives_what_single_texts_give(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given texts of many lengths
    texts = ["", "a", "a red star", *PLAIN, *SALAD, " ".join(PLAIN * 20), "红色的花瓶", "<end>"]
    alone = [made(folder).model.losses([text])[0] for text in texts]
    model, calls = made(folder).model, list[int]()
    real = model._logits

    def counted(rows: Any) -> Any:
        calls.append(len(rows))
        return real(rows)

    monkeypatch.setattr(model, "_logits", counted)
    # When they are read together, twice
    found = model.losses([*texts, *texts])
    again = model.losses(texts)
    # Then one call of the model gave the same numbers
    assert calls == [len(texts)]
    assert found[: len(texts)] == again == pytest.approx(alone, rel=1e-3)
    assert all(math.isfinite(loss) for loss in found)


def test_the_value_is_the_models_own_perplexity(folder: Path) -> None:
    import transformers

    text = PLAIN[0]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([[1, *tokenizer(text, add_special_tokens=False).input_ids]])

    (loss,) = made(folder).model.losses([text])

    assert loss == pytest.approx(model(input_ids=ids, labels=ids).loss.item(), rel=1e-4)


def _without_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: each for name, each in weights.items() if "mlp.c_fc" not in name},
        folder / "model.safetensors",
        {"format": "pt"},
    )


def _with_code_of_its_own(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "own.Own"}}
    config["auto_map"]["AutoConfig"] = "own.OwnConfig"
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text("raise SystemExit('this code must not run')")


def _with_not_a_number(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights = {name: each * float("nan") for name, each in weights.items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def _without_tokenizer(folder: Path) -> None:
    for file in folder.glob("*token*"):
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_without_a_weight, "weights are missing"),
        (_with_code_of_its_own, "no code from a model"),
        (_with_not_a_number, "no finite numbers"),
        (_without_tokenizer, "tokenizer knows 1 tokens"),
    ],
)
def test_a_model_of_no_use_stops_the_worker(tmp_path: Path, spoil, told: str) -> None:
    folder = random_gpt2(tmp_path)
    spoil(folder)
    with pytest.raises(Fatal, match=told):
        made(folder)


def test_a_model_that_reads_ahead_or_is_too_small_for_its_tokenizer_is_refused(
    tmp_path: Path,
) -> None:
    for name, changes, told in (
        ("bert", {"kind": "bert"}, "it is not causal"),
        ("small", {"vocabulary": 100}, "for those below 100"),
    ):
        folder = random_gpt2(tmp_path / name, **changes)
        with pytest.raises(Fatal, match=told):
            made(folder)


def test_a_missing_model_says_what_to_set() -> None:
    with pytest.raises(Fatal, match=r"select\.perplexity\.model"):
        load_checks(SelectPolicy(checks=("perplexity",)))
    with pytest.raises(Fatal, match="no such folder"):
        made(Path("/nowhere/at/all"))


def batch(first: int, texts: Sequence[str], *candidates: str, language: str = "en") -> Batch:
    """Good alt texts of one language, and candidates of a model for the first pair."""
    found = []
    for at, text in enumerate(texts, first):
        original = Caption(text=text, kind=CaptionKind.ORIGINAL)
        pair = captioned_pair(
            at,
            clean_text=text,
            original=original,
            detected_language=language,
            route=Route.ALT_TEXT_GOOD,
        )
        own = [original, *(Caption(text=c, kind=CaptionKind.VLM) for c in candidates)]
        prepared = SelectInput(
            tuple(own if at == first else own[:1]), (), np.zeros(2, np.float32), 0.0
        )
        found.append((incoming(pair, at), prepared))
    return found


def refused(judged: Batch) -> list[str]:
    return [caption.text for caption in judged[0][1].failed]


def fluency(folder: Path, redis_url: str, **policy: object) -> Fluency:
    policy = {"warm_up_texts": 60, "device": "cpu", "model": str(folder)} | policy
    given = PerplexityPolicy.model_validate(policy)
    store = CosineStore(redis.Redis.from_url(redis_url), "t:")
    return Fluency(build(SelectPolicy(perplexity=given)), store, given)


def scenes(count: int, seed: int = 8) -> list[str]:
    rng = random.Random(seed)
    return [describe(random_scene(rng)) for _ in range(count)]


def test_the_bar_sets_itself_and_holds_for_all_replicas(folder: Path, redis_url: str) -> None:
    # Given a stream whose good alt texts are too few for a bar
    stage, candidates = fluency(folder, redis_url), (*PLAIN, *SALAD)
    assert refused(stage.judged(batch(0, scenes(30), *candidates))) == []
    # When enough have come, also for another replica
    judged = stage.judged(batch(30, scenes(40, 9), *candidates))
    other = fluency(folder, redis_url).judged(batch(70, ["a red star"], *candidates))
    # Then salad is refused, and each caption has its value and at most one result
    assert refused(judged) == refused(other) == list(SALAD)
    kept = judged[0][1].passed
    assert [each.text for each in kept[1:]] == list(PLAIN)
    assert all(len(each.checks) == 1 and each.checks[0].value for each in kept)


def test_a_record_that_comes_again_is_counted_once(folder: Path, redis_url: str) -> None:
    stage = fluency(folder, redis_url)
    for _ in range(3):
        judged = stage.judged(batch(0, scenes(30), *SALAD))

    assert refused(judged) == []


def test_other_languages_and_a_language_that_the_model_does_not_know_are_not_refused(
    folder: Path, redis_url: str
) -> None:
    # Given a bar for English, and enough German alt texts, whose order means nothing to the model
    stage = fluency(folder, redis_url)
    german = [f"der Hund Nummer {n} schläft auf der großen Wiese vor dem Haus" for n in range(70)]
    rng = random.Random(2)
    german = [" ".join(rng.sample(text.split(), 12)) for text in german]
    stage.judged(batch(0, scenes(70)))
    stage.judged(batch(100, german, language="de"))
    # When captions come in German and in a language without a bar
    others = (
        "Ein großer Hund schläft auf der Wiese vor dem Haus",
        "Un gros chien noir dort devant la porte de la maison",
        "แมวดำตัวใหญ่นอนหลับอยู่บนโซฟา",
    )
    judged = stage.judged(batch(200, ["a red star"], *others, *SALAD))
    # Then salad of the known language alone is refused
    assert refused(judged) == list(SALAD)


def test_a_perplexity_by_hand_needs_no_stream(folder: Path, redis_url: str) -> None:
    judged = fluency(folder, redis_url, most=100.0).judged(batch(0, scenes(1), *PLAIN, *SALAD))

    assert refused(judged) == list(SALAD)
    assert not list(redis.Redis.from_url(redis_url).scan_iter("t:*"))


def test_shuffled_words_are_always_the_same_and_differ_from_the_text() -> None:
    for text in (*PLAIN, "木桌上放着一只红色的花瓶"):
        assert shuffle(text) == shuffle(text) != text
        assert sorted(shuffle(text) or "") == sorted(text)
    assert shuffle("Red vase") is shuffle("") is None
