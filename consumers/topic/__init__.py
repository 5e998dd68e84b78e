"""Reads topics: one pass, or a stream for training."""
