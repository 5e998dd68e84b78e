"""Shared encoders and text windows."""
