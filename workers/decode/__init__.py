"""Decodes and hashes images nobody vouches for, in child processes."""
