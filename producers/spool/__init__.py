"""Keeps records on disk until the broker has them."""
