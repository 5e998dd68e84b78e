"""Checks of texts and images, one file each."""
