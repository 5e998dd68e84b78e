"""Helpers for torch models: device, precision, out-of-memory errors, a digest of the weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kaption.connections.errors import Fatal
from kaption.workers.policy import ClipPolicy, TransformersPolicy
from kaption.workers.runtime.stage import OutOfMemory

if TYPE_CHECKING:
    import torch

_CUSTOM_CODE = ("custom code", "trust_remote_code", "Loading this model requires you to execute")
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


def pick_precision(name: str, device: torch.device) -> str:
    """fp32, bf16 or fp16; `auto` is bf16 on GPUs that support it, fp16 on others, fp32 on CPUs."""
    import torch

    if name != "auto":
        return name
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def torch_dtype(precision: str) -> torch.dtype:
    """The dtype of fp32, bf16 or fp16."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def prepare_torch(policy: ClipPolicy | TransformersPolicy) -> tuple[torch.device, str]:
    """Set torch's CPU threads in this process. Returns the device and the precision.

    Raises Fatal for a device that is not there.
    """
    import torch

    if policy.threads > 0:
        torch.set_num_threads(policy.threads)
    device = pick_device(policy.device)
    return device, pick_precision(policy.precision, device)


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
def no_custom_code(what: str) -> Iterator[None]:
    """Let transformers neither run nor ask for the code that a repository brings. Raises Fatal."""
    from transformers import dynamic_module_utils

    library: Any = dynamic_module_utils
    waited = library.TIME_OUT_REMOTE_CODE
    library.TIME_OUT_REMOTE_CODE = 0  # it would ask on the console for so many seconds
    try:
        yield
    except (ValueError, OSError, ImportError, RuntimeError, KeyError) as error:
        if any(words in str(error) for words in _CUSTOM_CODE):
            raise Fatal(
                f"{what} brings code of its own, and Kaption runs no code from a model's"
                " repository. Take a model that the installed transformers knows by itself, or"
                " write a plug-in that you have read (docs/extending.md)"
            ) from error
        raise
    finally:
        library.TIME_OUT_REMOTE_CODE = waited


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
