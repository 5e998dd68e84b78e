"""Runs commands in an environment of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


class Commands:
    """Runs commands with some variables set."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._environment = os.environ | variables

    def tries(self, *command: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command and return how it ended, with both streams as one."""
        return subprocess.run(
            command,
            env=self._environment,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def run(self, *command: str | Path, given: str = "") -> str:
        """Return what a command says on both streams. Exits where it fails."""
        ended = self.tries(*command, given=given)
        if ended.returncode:
            sys.exit(f"{' '.join(map(str, command))}:\n{ended.stdout[-6000:]}")
        return ended.stdout
