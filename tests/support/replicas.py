"""`kaption work` processes: replicas of a stage that a test may stop, kill and start again."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from support.program import PROGRAM

_STOP_S = 60


class Replica:
    """One process of one stage, logging to `folder`."""

    def __init__(self, stage: str, number: int, settings: Mapping[str, str], folder: Path) -> None:
        self.stage = stage
        self.log = folder / f"{stage}-{number}.log"
        bare = {name: value for name, value in os.environ.items() if "KAPTION" not in name.upper()}
        self._environment = {
            **bare,
            "OMP_NUM_THREADS": "1",
            "KAPTION_MODELS": "demo",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._logged = 0
        self.started = 0.0
        """When it was started last, by `time.monotonic`."""

    def start(self) -> None:
        """Start it; what it logs is appended."""
        self.started = time.monotonic()
        with self.log.open("ab") as log:
            self._logged = log.tell()
            self._process = subprocess.Popen(
                [PROGRAM, "work", self.stage], env=self._environment, stdout=log, stderr=log
            )

    def kill9(self) -> None:
        """End it as the kernel would when memory runs out."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Ask it to stop; returns its exit code."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise

    @property
    def told(self) -> list[str]:
        """The lines that it logged since it was started last."""
        return self.log.read_bytes()[self._logged :].decode(errors="replace").splitlines()

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        assert self._process is not None
        return self._process.pid

    @property
    def ended(self) -> int | None:
        """Its exit code, once it has ended by itself."""
        return None if self._process is None else self._process.poll()
