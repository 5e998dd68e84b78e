"""The program `kaption`: one file for each command; `app` lists them."""

from kaption.workers.cli.app import main

__all__ = ["main"]
