"""Trains and measures the demo's small models, with one command for each step."""
