"""Finds personal data in texts, one kind a file: each has `find`, which gives its places."""
