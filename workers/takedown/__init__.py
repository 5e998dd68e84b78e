"""Takedown: finding what may no longer be used, refusing it from then on, and removing it."""
