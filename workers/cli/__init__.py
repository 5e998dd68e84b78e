"""The `kaption` command: one file per sub-command, wired in `app`."""

from kaption.workers.cli.app import main

__all__ = ["main"]
