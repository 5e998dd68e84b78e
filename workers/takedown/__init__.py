"""Takedown: what may no longer be given to anybody is refused, withdrawn and removed."""
