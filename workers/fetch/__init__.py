"""Fetches images from untrusted web servers."""
