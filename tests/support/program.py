"""Runs `kaption` as a user does: in a process of its own, with settings in its environment."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PROGRAM = str(Path(sys.executable).with_name("kaption"))


def kaption(
    *arguments: str | Path, settings: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *arguments],
        # Not the default port of workers: tests run side by side.
        env=os.environ | {"KAPTION_HEALTH__PORT": "0"} | dict(settings or {}),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
