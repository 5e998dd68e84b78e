"""Runs every benchmark in turn: `make bench`. Each prints ratios, measured side by side."""

from __future__ import annotations

import subprocess
import sys

import torch

_MODULES = (
    "passthrough",
    "stages",
    "models",
    "ingest_images",
    "mutated_images",
    "silent_host",
    "dedup",
    "dedup_growth",
    "sources",
    "datasets",
    "takedowns",
    "near_duplicates",
    "near_index",
    "ocr",
    "memory",
    "replicas",
    "autoscaling",
    "gpu",
)


def main() -> None:
    """Run each benchmark as a process, below its command line. Exits with 1 if one failed."""
    failed = []
    for module in sys.argv[1:] or _MODULES:
        if module == "gpu" and not torch.cuda.is_available():
            print("\nbench.gpu is skipped: there is no CUDA device", flush=True)
            continue
        print(f"\n$ python -m bench.{module}", flush=True)
        if subprocess.run([sys.executable, "-m", f"bench.{module}"], check=False).returncode:
            failed.append(module)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
