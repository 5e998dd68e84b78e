"""Checks of texts and pictures, one file each."""
