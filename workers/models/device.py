"""Helpers for torch models: device, precision, out-of-memory errors, a digest of the weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kaption.connections.errors import Fatal
from kaption.workers.policy import ClipPolicy, TransformersPolicy
from kaption.workers.runtime.stage import OutOfMemory

if TYPE_CHECKING:
    import torch

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
            f"device {name!r} cannot be used ({_first_line(error)}); set it to auto or cpu"
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


def weights_digest(model: torch.nn.Module) -> str:
    """``sha256:`` and 16 hex digits over names, shapes, dtypes and bytes of all weights.

    The digest is of the weights in memory: a file that is loaded as bf16 has another digest than as
    fp32, because the outputs differ as well. It takes about a second for a GB.
    """
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        flat = tensor.detach().cpu().contiguous().view(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()[:16]}"


@contextmanager
def memory_guard() -> Iterator[None]:
    """Turn the device's out-of-memory error into OutOfMemory, and free torch's cached blocks."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise OutOfMemory(_first_line(error)) from error
    except RuntimeError as error:
        # torch has no error class for the CPU: only the text tells it apart.
        if any(words in str(error) for words in _NO_MEMORY_ON_CPU):
            raise OutOfMemory(_first_line(error)) from error
        raise


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:300]
