"""Reads the shards of a dataset as a stream for training."""
