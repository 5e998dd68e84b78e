"""Errors of the command line."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend; shown as one line, without a traceback, exit code 1."""
