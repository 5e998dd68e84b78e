"""Use and memory of the machine's NVIDIA GPUs, as the driver tells them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import nan
from typing import Any

from prometheus_client import Gauge

_LABELS = ("gpu", "gpu_name")
USE = Gauge(
    "kaption_gpu_use_ratio",
    "Share of the last moments in which the GPU computed, from 0 to 1, for all its processes. Low "
    "while there is lag: raise the stage's batch_records, or runtime.prepare_threads.",
    _LABELS,
)
MEMORY_USED = Gauge(
    "kaption_gpu_memory_used_bytes",
    "Bytes of the GPU that its processes hold. Near kaption_gpu_memory_bytes: lower the stage's "
    "batch_records before another model is loaded.",
    _LABELS,
)
MEMORY = Gauge(
    "kaption_gpu_memory_bytes",
    "Bytes of memory of the GPU. Moving: workers run on other GPUs than before.",
    _LABELS,
)


def export_gpus() -> None:
    """Let the driver be asked at each scrape. Without a GPU or nvidia-ml-py there are no metrics.

    What a GPU does not tell, such as the use of a MIG slice, is absent. The alternative,
    `torch.cuda.utilization`, asks the same library, and begins CUDA on the GPU.
    """
    try:
        import pynvml as nvml
    except ModuleNotFoundError:
        return
    with suppress(nvml.NVMLError):
        nvml.nvmlInit()
        for number in range(nvml.nvmlDeviceGetCount()):
            gpu = nvml.nvmlDeviceGetHandleByIndex(number)
            labels = (str(number), str(nvml.nvmlDeviceGetName(gpu)))
            asked: dict[Gauge, Callable[[], float]] = {
                USE: partial(_use, nvml, gpu),
                MEMORY_USED: partial(_memory, nvml, gpu, "used"),
                MEMORY: partial(_memory, nvml, gpu, "total"),
            }
            for gauge, ask in asked.items():
                with suppress(nvml.NVMLError):
                    ask()
                    gauge.labels(*labels).set_function(partial(_known, nvml, ask))


def _use(nvml: Any, gpu: Any) -> float:
    return float(nvml.nvmlDeviceGetUtilizationRates(gpu).gpu) / 100


def _memory(nvml: Any, gpu: Any, which: str) -> float:
    return float(getattr(nvml.nvmlDeviceGetMemoryInfo(gpu), which))


def _known(nvml: Any, ask: Callable[[], float]) -> float:
    """The answer, or not a number: a GPU that fell off the bus must not cost the other metrics."""
    try:
        return ask()
    except nvml.NVMLError:
        return nan
