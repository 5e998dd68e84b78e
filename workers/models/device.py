"""Helpers for torch models: device, precision, out-of-memory errors, a digest of the weights."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaption.connections.errors import Fatal, Fault
from kaption.workers.policy.recaption import TransformersPolicy
from kaption.workers.policy.score import ClipPolicy
from kaption.workers.runtime.stage import OutOfMemory
from kaption.workers.text.marks import Marks, highest_token

if TYPE_CHECKING:
    import torch

_CUSTOM_CODE = ("custom code", "trust_remote_code", "Loading this model requires you to execute")
_HUB_S = 5.0
_NO_MEMORY_ON_CPU = ("can't allocate memory", "not enough memory")


def pick_device(name: str) -> torch.device:
    """The torch device of that name; `auto` is the first GPU, else the CPU.

    Raises Fatal for a device that is not there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise Fatal(
            f"device {name!r} cannot be used ({first_line(error)}); set it to auto or cpu"
        ) from error
    return device


def torch_dtype(precision: str) -> torch.dtype:
    """The dtype of fp32, bf16 or fp16."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def prepare_torch(policy: ClipPolicy | TransformersPolicy) -> tuple[torch.device, str]:
    """Set torch's CPU threads in this process. Returns the device, and fp32, bf16 or fp16.

    `auto` is bf16 on GPUs that support it, fp16 on others, fp32 on CPUs. Raises Fatal for a device
    that is not there.
    """
    import torch

    if policy.threads > 0:
        torch.set_num_threads(policy.threads)
    device = pick_device(policy.device)
    return device, pick_precision(policy.precision, device)


def pick_precision(name: str, device: torch.device) -> str:
    """fp32, bf16 or fp16; `auto` is the best that the device has."""
    import torch

    if name != "auto":
        return name
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def weights_digest(model: torch.nn.Module, architecture: str = "") -> str:
    """``sha256:`` and 16 hex digits over names, shapes, dtypes and bytes of all weights.

    `architecture` says what the weights do not: the same weights give other outputs with another
    activation or number of heads.

    The digest is of the weights in memory: a file that is loaded as bf16 has another digest than as
    fp32, because the outputs differ as well. It takes about a second for a GB.
    """
    import torch

    digest = hashlib.sha256(architecture.encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        flat = tensor.detach().cpu().contiguous().view(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()[:16]}"


def require_weights(what: str, info: Mapping[str, Any], advice: str) -> None:
    """Raise Fatal where a checkpoint lacks weights, which transformers fills with random ones."""
    for noun, how in (("missing", "missing from"), ("mismatched", "of another shape in")):
        found = info.get(f"{noun}_keys") or ()
        # A mismatched weight comes with both of its shapes.
        names = sorted(each if isinstance(each, str) else str(each[0]) for each in found)
        if names:
            some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            raise Fatal(
                f"{what} cannot be used: {len(names)} of its weights are {how} its files ({some}),"
                f" and the library would take random ones. Fetch the model again. {advice}"
            )


def require_vocabulary(what: str, tokenizer: Any, marks: Marks, model: Any, advice: str) -> None:
    """Raise Fatal where a tokenizer of transformers is not the one that its model was made with.

    `marks` are special tokens that no text becomes. The trial of a model tries those of prompts.
    """
    known = len(tokenizer)
    size = getattr(model.config.get_text_config(), "vocab_size", 0)
    # Rows are rounded up, and a few are kept for later tokens: most are known. Without its files
    # transformers makes an empty tokenizer, and each word is the unknown one.
    if known < size / 4:
        raise Fatal(
            f"{what} cannot be used: its tokenizer knows {known} tokens and the model {size}."
            f" Fetch the tokenizer's files again, tokenizer.json among them. {advice}"
        )
    require_rows(what, highest_token(tokenizer, marks), model.get_input_embeddings(), advice)


def require_rows(what: str, highest: int, embedding: Any, advice: str) -> None:
    """Raise Fatal where the embedding of a model has no row for the highest token.

    On a GPU such a token ends the process, and only the first text that has it would tell. The
    number of tokens says too little: some tokenizers leave numbers out. So does `vocab_size`: some
    models have further rows for added tokens.
    """
    rows = embedding.num_embeddings + getattr(embedding, "num_additional_embeddings", 0)
    if highest >= rows:
        raise Fatal(
            f"{what} cannot be used: its tokenizer gives tokens up to number {highest}, and the"
            f" model has an embedding for those below {rows}. Fetch tokenizer and weights of one"
            " revision; where you added tokens, call resize_token_embeddings and save the model"
            f" again. {advice}"
        )


@contextmanager
def loading_guard(what: str) -> Iterator[None]:
    """Turn a device's out-of-memory error while a model is loaded or tried into Fatal."""
    try:
        with memory_guard():
            yield
    except OutOfMemory as error:
        raise Fatal(
            f"{what} does not fit into the memory of its device ({error}): take a smaller model,"
            " another device or a smaller precision (bf16), or end what else uses the device"
        ) from error


@contextmanager
def loading(what: str, advice: str) -> Iterator[None]:
    """Turn any error while a model is loaded into Fatal with `advice`.

    transformers neither runs the code that a repository brings, nor asks whether it may. A list of
    the errors that libraries raise was rejected: what a wrong or damaged folder ends in differs
    from library to library and from version to version.
    """
    from transformers import dynamic_module_utils

    library: Any = dynamic_module_utils
    waited = library.TIME_OUT_REMOTE_CODE
    library.TIME_OUT_REMOTE_CODE = 0  # it would ask on the console for so many seconds
    try:
        with loading_guard(what):
            yield
    except Fault:
        raise
    except Exception as error:
        if any(words in str(error) for words in _CUSTOM_CODE):
            raise Fatal(
                f"{what} brings code of its own, and Kaption runs no code from a model's"
                " repository. Take a model that the installed transformers knows by itself, or"
                " write a plug-in that you have read (docs/extending.md)"
            ) from error
        raise Fatal(not_loaded(what, str(error), advice)) from error
    finally:
        library.TIME_OUT_REMOTE_CODE = waited


def load_pretrained(
    what: str,
    name: str,
    revision: str | None,
    classes: tuple[str, str],
    advice: str,
    **options: Any,
) -> tuple[Any, Any]:
    """What prepares the input, and the model, which is whole and is not trained. Raises Fatal.

    `name` is a folder or a name on the hub. `classes` are two of transformers, such as
    AutoTokenizer and AutoModelForCausalLM; the second one gets the `options`.
    """
    import transformers

    library: Any = transformers  # its loaders have no types
    library.logging.disable_progress_bar()
    library.logging.set_verbosity_error()  # its reports of many lines; what is wrong is told below
    is_local = Path(name).is_dir()
    if name.startswith((".", "/")) and not is_local:
        raise Fatal(not_loaded(what, "there is no such folder", advice))
    source: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    with loading(what, advice), nullcontext() if is_local else hub_guard(what):
        reader, kind = (getattr(library, each) for each in classes)
        reads = reader.from_pretrained(name, **source)
        model, info = kind.from_pretrained(
            name, output_loading_info=True, ignore_mismatched_sizes=True, **options, **source
        )
        require_weights(what, info, advice)
        return reads, model.eval().requires_grad_(requires_grad=False)


def not_loaded(what: str, why: str, advice: str) -> str:
    """The error for people."""
    return f"{what} cannot be loaded: {' '.join(why.split())[:500]}. {advice}"


@contextmanager
def hub_guard(what: str) -> Iterator[None]:
    """Ask the hub once whether it answers. Where it does not, use what is on this machine.

    The library itself tries each file six times, for minutes and with two log lines a try. Raises
    Fatal where the hub is away and the model is not here.
    """
    from httpx2 import HTTPError
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils.logging import set_verbosity

    set_verbosity(logging.CRITICAL)  # what it would log is told by the error
    offline, seen = constants.HF_HUB_OFFLINE, "HF_HUB_OFFLINE is set"
    if not offline:
        try:
            answer = get_session().head(constants.ENDPOINT, timeout=_HUB_S)
            if answer.is_server_error:
                answer.raise_for_status()
        except HTTPError as error:
            constants.HF_HUB_OFFLINE, seen = True, first_line(error) or type(error).__name__
    away = constants.HF_HUB_OFFLINE
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        if away and not any(words in str(error) for words in _CUSTOM_CODE):
            raise Fatal(
                f"{what} is not on this machine, and the hub is not asked or does not answer"
                f" ({constants.ENDPOINT}: {seen}): check the name and the network, or give a folder"
            ) from error
        raise
    finally:
        constants.HF_HUB_OFFLINE = offline


@contextmanager
def memory_guard() -> Iterator[None]:
    """Turn the device's out-of-memory error into OutOfMemory, and free torch's cached blocks."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise OutOfMemory(first_line(error)) from error
    except RuntimeError as error:
        # torch has no error class for the CPU: only the text tells it apart.
        if any(words in str(error) for words in _NO_MEMORY_ON_CPU):
            raise OutOfMemory(first_line(error)) from error
        raise


def first_line(error: BaseException) -> str:
    """The first line of an error's text, at most 300 characters."""
    return str(error).strip().split("\n")[0][:300]
