"""Decodes and hashes pictures nobody vouches for, in child processes."""
