"""Runs the whole pipeline on one machine, over the user's own pairs."""
