"""Decodes and hashes untrusted images in child processes."""
