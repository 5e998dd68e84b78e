"""Publishes a source from where it stopped, with its place in the same transaction."""
