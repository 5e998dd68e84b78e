"""The error that the command line shows without a traceback."""

from __future__ import annotations


class UserError(Exception):
    """A mistake that the user can correct. The command prints one line and exits with status 1."""
