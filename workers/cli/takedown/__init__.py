"""`kaption takedown`: what may no longer be given to anybody is refused, withdrawn and removed."""

from workers.cli.takedown.command import command

__all__ = ["command"]
