"""What workers tell on /metrics and /readyz: outcomes, device time and what they wait for."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from kaption.workers.settings import UserError

_TIMEOUT_S = 2.0
_READERS = 16
_PORT = 8080
_GPU = ("kaption_gpu_use_ratio", "kaption_gpu_memory_used_bytes")


@dataclass(frozen=True, slots=True)
class GpuState:
    """What the driver of a GPU tells."""

    use: float | None
    """Share of the last moments in which it computed."""
    used_bytes: float | None


@dataclass
class ToldByWorkers:
    """What all workers of one stage tell."""

    workers: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    """Since the workers started: emitted, rejected and dead."""
    busy: float | None = None
    """Mean share of the last interval that a worker spent in `Stage.process`, whatever it did
    there. None: not known yet."""
    gpus: dict[tuple[str, str], GpuState] = field(default_factory=dict)
    """The GPUs that its workers see, by host and number."""
    waits: Counter[str] = field(default_factory=Counter)
    """What workers wait for, or why they are not ready."""


class WorkerPages:
    """Asks the workers at addresses. A name with several addresses stands for several workers."""

    def __init__(self, addresses: Iterable[str]) -> None:
        """`addresses` as HOST or HOST:PORT. Raises UserError."""
        self._addresses = [_parsed(address) for address in addresses]
        self._before: dict[tuple[str, int], tuple[float, Mapping[str, float]]] = {}
        self.answered = 0
        """How many workers answered the last look."""

    def look(self) -> dict[str, ToldByWorkers]:
        """Ask all workers; by stage. One that does not answer within 2 s is left out."""
        places = sorted({each for host, port in self._addresses for each in _resolved(host, port)})
        with ThreadPoolExecutor(_READERS) as readers:
            answers = list(readers.map(_ask, places))
        told: dict[str, ToldByWorkers] = {}
        self.answered = sum(answer is not None for answer in answers)
        shares: dict[str, list[float]] = {}
        for place, answer in zip(places, answers, strict=True):
            if answer is None:
                continue
            at, seconds, outcomes, problems, gpus = answer
            for stage in seconds.keys() | problems.keys():
                of = told.setdefault(stage, ToldByWorkers())
                of.workers += 1
                of.outcomes.update({what: n for (it, what), n in outcomes.items() if it == stage})
                of.gpus |= {(place[0], gpu): state for gpu, state in gpus.items()}
                if stage in problems:
                    of.waits[problems[stage]] += 1
            if place in self._before:
                then, before = self._before[place]
                for stage, value in seconds.items():
                    share = (value - before.get(stage, 0.0)) / max(at - then, 0.001)
                    shares.setdefault(stage, []).append(min(1.0, max(0.0, share)))
            self._before[place] = at, seconds
        for stage, found in shares.items():
            told[stage].busy = sum(found) / len(found)
        return told


Answer = tuple[
    float, Mapping[str, float], Counter[tuple[str, str]], dict[str, str], dict[str, GpuState]
]
"""When, seconds of batches by stage, outcomes by stage and kind, problems by stage, and GPUs."""


def _ask(place: tuple[str, int]) -> Answer | None:
    seconds: defaultdict[str, float] = defaultdict(float)
    outcomes: Counter[tuple[str, str]] = Counter()
    gpus: defaultdict[str, dict[str, float]] = defaultdict(dict)
    try:
        for family in text_string_to_metric_families(_get(place, "/metrics")):
            for name, labels, value, *_ in family.samples:
                if name == "kaption_retries_total":  # of every stage, from its start
                    seconds[labels["stage"]] += 0.0
                elif name == "kaption_batch_seconds_sum":
                    seconds[labels["stage"]] += value
                elif name == "kaption_outcomes_total":
                    outcomes[labels["stage"], labels["outcome"]] += int(value)
                elif name in _GPU:
                    gpus[labels["gpu"]][name] = value
        problems = json.loads(_get(place, "/readyz"))["problems"]
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return None
    found = {gpu: GpuState(*map(told.get, _GPU)) for gpu, told in gpus.items()}
    waits = {str(k): str(v) for k, v in problems.items()}
    return time.monotonic(), seconds, outcomes, waits, found


def _get(place: tuple[str, int], path: str) -> str:
    connection = HTTPConnection(*place, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def _parsed(address: str) -> tuple[str, int]:
    host, separator, port = address.rpartition(":")
    if not separator or port.endswith("]"):
        host, port = address, str(_PORT)
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UserError(f"--workers {address}: write HOST or HOST:PORT")
    return host.strip("[]"), int(port)


def _resolved(host: str, port: int) -> Iterator[tuple[str, int]]:
    found: Any = ()
    with suppress(OSError):
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, address in found:
        yield str(address[0]), port
