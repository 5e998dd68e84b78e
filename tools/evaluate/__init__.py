"""Measures what Kaption's pairs are worth: `make evaluate`. See docs/evaluation.md."""

import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path


def cache() -> Path:
    """Our folder below the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kaption"


def trained_once(folder: Path, train: Callable[[Path], object]) -> Path:
    """The folder, which `train` writes where it is missing. A training that fails leaves none."""
    if not folder.exists():
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel

        unfinished = folder.with_suffix(".unfinished")
        torch.set_num_threads(1)
        # The flash kernel's backward pass on CPU is several times slower.
        with sdpa_kernel(SDPBackend.MATH), redirect_stdout(sys.stderr):
            train(unfinished)
        unfinished.rename(folder)
    return folder
